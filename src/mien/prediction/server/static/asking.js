// One request to the server: sent, followed while it waits, given up when the user wants.

/** A sentence for the user; the same request may be answered later, or never. */
export class Refusal extends Error {
  constructor(message, { isFinal = false } = {}) {
    super(message);
    this.isFinal = isFinal;
  }
}

const LATER = [408, 409, 429]; // of the refusals of a request itself, those that another try may mend

export class Request {
  constructor(path, body, type, onProgress) {
    this.ticket = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
    this.onProgress = onProgress;
    this.xhr = new XMLHttpRequest();
    this.isSent = false;
    this.answer = new Promise((resolve, reject) => this.#send(path, body, type, resolve, reject));
  }

  cancel() {
    this.xhr.abort();
  }

  #send(path, body, type, resolve, reject) {
    const { xhr } = this;
    xhr.open("POST", path);
    xhr.setRequestHeader("X-Ticket", this.ticket);
    if (type) xhr.setRequestHeader("Content-Type", type);
    xhr.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) this.onProgress({ stage: "uploading", share: event.loaded / event.total });
    });
    xhr.upload.addEventListener("load", () => { this.isSent = true; });
    xhr.addEventListener("load", () => {
      const said = parse(xhr.responseText);
      if (xhr.status === 200 && said) resolve(said);
      else reject(new Refusal(said?.detail ?? `the server answered with ${xhr.status}`, { isFinal: xhr.status < 500 && !LATER.includes(xhr.status) }));
    });
    xhr.addEventListener("error", () => reject(new Refusal("the server cannot be reached, or it closed the connection; is it still running?")));
    xhr.addEventListener("abort", () => reject(new Refusal("")));
    const timer = setInterval(() => this.isSent && this.#ask(), 600);
    xhr.addEventListener("loadend", () => clearInterval(timer));
    xhr.send(body);
  }

  async #ask() {
    try {
      const response = await fetch(`/progress/${this.ticket}`);
      const progress = await response.json();
      if (response.ok && progress.stage !== "done" && this.xhr.readyState !== 4) this.onProgress(progress);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // no network: the request itself says so
    }
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
