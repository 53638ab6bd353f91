// The picture over time: scores with intervals, effects of voice and face, attention, and where playing is.
import { MODALITIES, NAMES, clock, draw, niceStep, signed } from "./parts.js";

const EDGE = { left: 66, right: 12 };
const TOP = { curves: 34, strips: 14 };
const HEIGHT = 210;
const STRIP = 34;
const HEAT = 10;
const GAP = 10;
const AXIS = 26;
const MOST_CELLS = 700;

export class Timeline {
  constructor(prediction, { onSeek }) {
    this.prediction = prediction;
    this.onSeek = onSeek;
    this.end = Math.max(prediction.seconds ?? 0, ...prediction.answers.map((one) => one.end ?? 0), 0.1);
    this.tall = prediction.answers.length > 1 && prediction.scale ? HEIGHT : 0; // scores of one utterance are no curve
    this.top = this.tall ? TOP.curves : TOP.strips;
    const windows = prediction.answers.flatMap((one) => Object.values(one.steps).flatMap((steps) => steps.windows));
    this.most = Math.max(0.03 * Math.max(...(prediction.scale ?? [1]).map(Math.abs)), ...windows.map((window) => Math.abs(window.effect)));
    this.hidden = new Set();
    this.position = 0;
    this.svg = draw("svg", {
      class: "timeline", role: "slider", tabindex: 0, "aria-label": "Position in the recording",
      "aria-valuemin": 0, "aria-valuemax": this.end.toFixed(1),
    });
    this.svg.addEventListener("pointerdown", (event) => this.#point(event));
    this.svg.addEventListener("pointermove", (event) => event.buttons === 1 && this.#point(event));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.watcher = new ResizeObserver(() => this.render());
    this.watcher.observe(this.svg);
  }

  /** Stop watching the size of a timeline that is shown no more. */
  close() {
    this.watcher.disconnect();
  }

  toggle(task) {
    if (!this.hidden.delete(task)) this.hidden.add(task);
    this.render();
    return !this.hidden.has(task);
  }

  move(seconds) {
    this.position = Math.min(Math.max(seconds, 0), this.end);
    this.svg.setAttribute("aria-valuenow", this.position.toFixed(1));
    this.svg.setAttribute("aria-valuetext", `${clock(this.position, 1)} of ${clock(this.end)}`);
    this.#place();
  }

  render() {
    const width = Math.round(this.svg.clientWidth);
    if (!width || width < 80) return;
    this.width = width;
    const strips = ["audio", "video"].filter((m) => this.prediction.answers.some((one) => one.steps[m]));
    const bottom = this.top + this.tall + strips.length * (STRIP + HEAT + GAP) + GAP;
    this.height = bottom + AXIS;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    this.svg.replaceChildren(
      ...this.#grid(bottom), ...(this.tall ? [...this.#bands(), ...this.#curves()] : []),
      ...strips.flatMap((m, i) => this.#strip(m, this.top + this.tall + GAP + i * (STRIP + HEAT + GAP))),
    );
    this.line = draw("line", { class: "playhead", y1: 8, y2: bottom });
    this.grip = draw("path", { class: "playhead-grip", d: "M-6 1h12l-6 9z" });
    this.svg.append(this.line, this.grip, ...(this.tall ? this.#clashes() : []));
    this.move(this.position);
  }

  x(seconds) {
    return EDGE.left + (seconds / this.end) * (this.width - EDGE.left - EDGE.right);
  }

  y(value) {
    const [low, high] = this.prediction.scale;
    return this.top + (1 - (value - low) / (high - low)) * this.tall;
  }

  #place() {
    if (!this.line) return;
    const x = this.x(this.position);
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.grip.setAttribute("transform", `translate(${x} 0)`);
  }

  #grid(bottom) {
    const [low, high] = this.prediction.scale ?? [0, 0];
    const parts = [];
    const levels = [low, low / 2, 0, high / 2, high].filter((v, i, all) => v >= low && all.indexOf(v) === i);
    for (const value of this.tall ? levels : []) {
      const y = this.y(value);
      parts.push(draw("line", { class: value === 0 ? "zero" : "grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }));
      const text = value === 0 ? "0" : `${value < 0 ? "−" : "+"}${+Math.abs(value).toFixed(2)}`;
      parts.push(draw("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, text));
    }
    const step = niceStep(this.end, Math.max(2, Math.floor(this.width / 90)));
    for (let t = 0; t <= this.end + 1e-6; t += step) {
      const x = this.x(t);
      const anchor = x > this.width - 24 ? "end" : "middle";
      parts.push(draw("line", { class: "grid", x1: x, x2: x, y1: bottom - 4, y2: bottom + 2 }));
      parts.push(draw("text", { x: Math.min(x, this.width - 2), y: bottom + 17, "text-anchor": anchor }, clock(t, step < 1 ? 1 : 0)));
    }
    return parts;
  }

  #bands() {
    if (this.hidden.has("fusion")) return [];
    return this.#timed().filter((one) => one.score.low !== null).map((one) => draw("rect", {
      class: "band", x: this.x(one.start), width: Math.max(this.x(one.end) - this.x(one.start), 1),
      y: this.y(one.score.high), height: Math.max(this.y(one.score.low) - this.y(one.score.high), 1),
    }));
  }

  #curves() {
    return ["fusion", ...MODALITIES].filter((task) => !this.hidden.has(task)).flatMap((task) => {
      let levels = "";
      let risers = "";
      let before = null;
      for (const one of this.#timed()) {
        const score = task === "fusion" ? one.score : one.unimodal[task];
        if (!score) { before = null; continue; }
        const y = this.y(score.value).toFixed(1);
        const x = this.x(one.start).toFixed(1);
        if (before) risers += `M${before.x} ${before.y}L${x} ${y}`;
        levels += `M${x} ${y}H${this.x(one.end).toFixed(1)}`;
        before = { x: this.x(one.end).toFixed(1), y };
      }
      if (!levels) return [];
      const title = draw("title", {}, NAMES[task]);
      return [draw("path", { class: `riser ${task}`, d: risers }), draw("path", { class: `curve ${task}`, d: levels }, title)];
    });
  }

  /** Marks of disagreement, in a lane of their own between the grip and the curves. */
  #clashes() {
    return this.#timed().filter((one) => one.conflicts.length).map((one) => {
      const x = this.x((one.start + one.end) / 2);
      const pairs = one.conflicts.map(([a, b]) => `${NAMES[a]} and ${NAMES[b]} disagree`).join("; ");
      return draw("path", { class: "clash", d: `M${x} ${this.top - 19}l6 10h-12z` }, draw("title", {}, pairs));
    });
  }

  /** Effects of a modality's stretches, upwards and downwards, and attention to its steps below. */
  #strip(modality, y) {
    const width = this.width - EDGE.left - EDGE.right;
    const parts = [
      draw("text", { x: EDGE.left - 8, y: y + STRIP / 2 + 4, "text-anchor": "end" }, NAMES[modality]),
      draw("text", { class: "lesser", x: EDGE.left - 8, y: y + STRIP + 9, "text-anchor": "end" }, "attention"),
      draw("rect", { class: "track", x: EDGE.left, width, y, height: STRIP, rx: 3 }),
      draw("rect", { class: "track", x: EDGE.left, width, y: y + STRIP + 1, height: HEAT - 1, rx: 2 }),
    ];
    if (this.hidden.has(modality)) return parts;
    return [...parts, ...this.#effects(modality, y), ...this.#heat(modality, y + STRIP + 1)];
  }

  #effects(modality, y) {
    const middle = y + STRIP / 2;
    const windows = this.prediction.answers.flatMap((one) => one.steps[modality]?.windows ?? []);
    const bars = strongestOf(windows, this.end).map(({ start, end, effect }) => {
      const height = (Math.abs(effect) / this.most) * (STRIP / 2);
      return draw("rect", {
        class: effect < 0 ? "lower" : "raise", x: this.x(start).toFixed(1), y: (effect < 0 ? middle : middle - height).toFixed(1),
        width: Math.max(this.x(end) - this.x(start) - 0.5, 0.8).toFixed(1), height: height.toFixed(1),
      }, draw("title", {}, `${NAMES[modality]} ${clock(start, 1)}: ${signed(effect)}`));
    });
    return [...bars, draw("line", { class: "grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: middle, y2: middle })];
  }

  #heat(modality, y) {
    const cells = binned(collect(this.prediction.answers, modality), this.end);
    const most = Math.max(...cells.map((cell) => cell.weight - 1), 0.02);
    return cells.filter(({ weight }) => weight - 1 >= 0.02 * most).map(({ from, to, weight }) => draw("rect", {
      class: `heat ${modality}`, x: this.x(from).toFixed(1), y, height: HEAT - 1,
      width: Math.max(this.x(to) - this.x(from), 0.8).toFixed(1), "fill-opacity": (0.12 + (0.88 * (weight - 1)) / most).toFixed(2),
    }));
  }

  #timed() {
    return this.prediction.answers.filter((one) => one.start !== null && one.end !== null);
  }

  #point(event) {
    if (event.button > 0) return;
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
    this.onSeek(Math.min(Math.max(share, 0), 1) * this.end);
  }

  #key(event) {
    const page = Math.max(this.end / 10, 1);
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.onSeek(Math.min(Math.max(this.position + steps[event.key], 0), this.end));
  }
}

/** The steps of all utterances, each with the span for which it stands. */
function collect(answers, modality) {
  return answers.flatMap((one) => {
    const { times, weights } = one.steps[modality] ?? { times: [], weights: [] };
    const gap = times.length > 1 ? (times[times.length - 1] - times[0]) / (times.length - 1) : (one.end ?? 1) - (one.start ?? 0);
    return weights.map((weight, i) => ({
      from: Math.max(times[i] - gap / 2, one.start ?? 0), to: Math.min(times[i] + gap / 2, one.end ?? Infinity), weight,
    }));
  });
}

/** Of long recordings, the strongest window of each cell. */
function strongestOf(windows, end) {
  if (windows.length <= MOST_CELLS) return windows;
  const bins = new Map();
  for (const one of windows) {
    const key = Math.floor((one.start / end) * MOST_CELLS);
    if (!(Math.abs(bins.get(key)?.effect) >= Math.abs(one.effect))) bins.set(key, one);
  }
  return [...bins.values()];
}

/** Of long recordings, the heaviest step of each cell. */
function binned(cells, end) {
  if (cells.length <= MOST_CELLS) return cells;
  const bins = new Map();
  for (const cell of cells) {
    const key = Math.floor((cell.from / end) * MOST_CELLS);
    if (!(bins.get(key)?.weight >= cell.weight)) bins.set(key, cell);
  }
  const size = end / MOST_CELLS;
  return [...bins].map(([key, { weight }]) => ({ from: key * size, to: (key + 1) * size, weight }));
}
