// An answer as files: JSON from the page itself, CSV and PNG from the server, named after the recording.
import { make } from "./parts.js";

/** The same name as name_download in kept_answers.py. */
export function nameDownload({ source, seconds }, kind) {
  const stem = seconds === null ? "sentence" : source.replace(/(?<=.)\.[^.]+$/u, "");
  const safe = stem.replace(/[<>:"/\\|?*\u0000-\u001f\u007f]/gu, "_").replace(/^[. ]+|[. ]+$/gu, "");
  return `${safe || "recording"}.mien.${kind}`;
}

export class Downloads {
  constructor(prediction, ticket, media) {
    this.prediction = prediction;
    this.address = `/answers/${ticket}`;
    // frames are taken of the face: where none was seen, the recording need not be sent again
    this.media = prediction.answers.some((one) => one.unimodal.video) ? media : null;
    this.url = URL.createObjectURL(new Blob([JSON.stringify(prediction, null, 1)], { type: "application/json" }));
    this.note = make("span", { class: "quiet small", role: "status" });
    this.element = make("div", { class: "downloads" },
      make("div", { class: "row", role: "group", "aria-label": "Download" },
        make("span", { class: "quiet small", "aria-hidden": "true" }, "Download"),
        make("a", { class: "button", href: this.url, download: nameDownload(prediction, "json"), "aria-label": "Download JSON" }, "JSON"),
        this.#button("CSV", "csv", "Writing…"), this.#button("PNG", "png", "Drawing…")),
      this.note);
  }

  close() {
    URL.revokeObjectURL(this.url);
  }

  #button(label, kind, busy) {
    const button = make("button", { type: "button", "aria-label": `Download ${label}` }, label);
    button.addEventListener("click", async () => {
      button.setAttribute("aria-disabled", "true"); // it keeps the focus
      this.note.textContent = busy;
      try {
        this.note.textContent = await this.#save(kind);
      } finally {
        button.removeAttribute("aria-disabled");
      }
    });
    return button;
  }

  /** Save a file; return what went wrong, in words, or nothing. */
  async #save(kind) {
    let response;
    try {
      response = await this.#ask(kind);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // no network
      return "the server cannot be reached; is it still running?";
    }
    if (!response.ok) return (await response.json()).detail;
    const url = URL.createObjectURL(await response.blob());
    make("a", { href: url, download: nameDownload(this.prediction, kind) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return "";
  }

  #ask(kind) {
    if (kind !== "png" || !this.media) return fetch(`${this.address}/${kind}`);
    const form = new FormData();
    form.append("file", this.media, this.media.name);
    return fetch(`${this.address}/png-with-frames`, { method: "POST", body: form });
  }
}
