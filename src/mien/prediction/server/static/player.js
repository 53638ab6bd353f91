// The recording itself, where the browser can play it.
import { make } from "./parts.js";

export class Player {
  constructor(media, onMove) {
    this.url = URL.createObjectURL(media);
    this.isDead = false;
    this.wanted = null;
    const isSound = media.type.startsWith("audio/");
    this.media = make(isSound ? "audio" : "video", { class: "player", controls: true, preload: "auto", playsinline: true, src: this.url, "aria-label": "The recording" });
    this.element = make("div", {}, this.media);
    this.media.addEventListener("error", () => this.#give_up());
    this.media.addEventListener("loadedmetadata", () => {
      this.media.classList.toggle("sound", !this.media.videoWidth); // whatever its name says, there is no picture
      if (this.wanted !== null) this.seek(this.wanted);
    });
    for (const event of ["timeupdate", "seeked"]) this.media.addEventListener(event, () => onMove(this.media.currentTime));
    this.frame = 0;
    const follow = () => {
      if (this.media.paused || this.media.ended) return;
      onMove(this.media.currentTime);
      this.frame = requestAnimationFrame(follow);
    };
    this.media.addEventListener("play", follow);
  }

  seek(seconds) {
    if (this.isDead) return;
    this.wanted = seconds;
    if (this.media.readyState > 0) {
      this.media.currentTime = seconds;
      this.wanted = null;
    }
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.media.pause();
    this.media.removeAttribute("src");
    URL.revokeObjectURL(this.url);
  }

  #give_up() {
    if (!this.media.hasAttribute("src")) return;
    this.isDead = true;
    this.element.replaceChildren(make("p", { class: "quiet small" }, "This browser cannot play this kind of file; the timeline works all the same."));
  }
}
