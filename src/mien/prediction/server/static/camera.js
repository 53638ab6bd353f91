// Recording by the camera and the microphone, in the browser.

const KINDS = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];

export class Camera {
  static get isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
  }

  /** Ask for the devices and begin. */
  static async open(preview) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: { ideal: 1280 }, facingMode: "user" } });
    return new Camera(stream, preview);
  }

  constructor(stream, preview) {
    this.stream = stream;
    this.preview = preview;
    preview.srcObject = stream;
    preview.play().catch(() => {}); // the preview is a courtesy; the recording goes on without it
    this.pieces = [];
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    this.recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    this.recorder.addEventListener("dataavailable", (event) => this.pieces.push(event.data));
    this.recorder.start(1000);
    this.since = performance.now();
  }

  get seconds() {
    return (performance.now() - this.since) / 1000;
  }

  /** End it, and give the recording as a file. */
  async stop() {
    const ended = new Promise((resolve) => this.recorder.addEventListener("stop", resolve, { once: true }));
    if (this.recorder.state !== "inactive") this.recorder.stop();
    await ended;
    this.#release();
    const type = this.recorder.mimeType.split(";")[0];
    return new File(this.pieces, `recording.${type.endsWith("mp4") ? "mp4" : "webm"}`, { type });
  }

  discard() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.#release();
  }

  #release() {
    for (const track of this.stream.getTracks()) track.stop();
    this.preview.srcObject = null;
  }
}
