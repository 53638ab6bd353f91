// Moments of a recording: those that moved the score most, and those with most attention; with the word and the frame.
import { MODALITIES, NAMES, clock, make, signed } from "./parts.js";
import { restsOn } from "./targets.js";

const MOST_MOVED = 5;
const MOST_ATTENDED = 3;
const LEAST_ATTENTION = 1.5; // times the average
const STILL = { width: 128, height: 72 };
const PATIENCE = 4000; // milliseconds for which a frame may take to be decoded

/** The card of the moments; null if none is known. Stills are taken of the recording where it can be played. */
export class Moments {
  constructor(prediction, media, seek) {
    this.words = prediction.answers.flatMap((one) => one.words.filter((word) => word.start !== null));
    this.seek = seek;
    this.isClosed = false;
    const seen = prediction.answers.some((one) => restsOn(one, "video"));
    this.media = seen ? media : null;
    this.stills = [];
    const moved = this.#rows(prediction, mostMoved);
    const attended = this.#rows(prediction, mostAttended);
    const parts = [];
    if (moved.length) {
      parts.push(make("h2", {}, "What moved the score most"), ...moved,
        make("p", { class: "quiet small" }, "Each number is an effect: the overall score minus what it would be without the word or moment."));
    }
    if (attended.length) {
      parts.push(make("h2", {}, "What got the most attention"), ...attended,
        make("p", { class: "quiet small" }, `Each number is attention as a multiple of the average. Attention shows where the model looked; it does not explain ${prediction.scale ? "the score" : "what is predicted"}.`));
    }
    this.element = parts.length ? make("section", { class: "card moments", "aria-label": "Moments" }, ...parts) : null;
    if (this.media && this.stills.length) this.#take();
  }

  close() {
    this.isClosed = true;
  }

  #rows(prediction, choose) {
    return MODALITIES.map((modality) => {
      const chosen = choose(prediction, modality);
      if (!chosen.length) return null;
      return make("div", { class: `row ${modality}` }, make("span", {}, NAMES[modality]), ...chosen.map((moment) => this.#moment(moment)));
    }).filter((row) => row !== null);
  }

  #moment({ modality, start, end, text, effect, weight, shown }) {
    const number = shown === "effect" ? make("span", { class: effect < 0 ? "lower" : "raise" }, signed(effect)) : make("span", { class: "weight" }, times(weight));
    const title = describeWeight({ effect, weight });
    const other = shown === "effect" ? weight !== null && `attention ${times(weight)}` : effect !== null && `effect ${signed(effect)}`;
    const numbers = make("span", {}, number, make("small", { class: "quiet" }, other ? ` ${other}` : ""));
    if (start === null) return make("span", { class: "word", title }, make("span", {}, `“${text}”`), numbers);
    const word = text || (modality === "text" ? "" : this.#spokenAt((start + end) / 2));
    const element = make("button", { type: "button", title, onclick: () => this.seek(start) },
      make("span", {}, word ? `“${word}” ` : "", make("span", { class: "quiet" }, clock(start, 1))), numbers);
    this.stills.push({ at: (start + end) / 2, element });
    return element;
  }

  #spokenAt(seconds) {
    return this.words.find((word) => seconds >= word.start && seconds <= word.end)?.text ?? "";
  }

  /** Take one frame after the other, in the order of time, from a player that nobody sees. */
  async #take() {
    const url = URL.createObjectURL(this.media);
    const video = make("video", { muted: true, preload: "auto", playsinline: true, src: url });
    if (await once(video, "loadeddata") && video.videoWidth) {
      for (const { at, element } of this.stills.toSorted((a, b) => a.at - b.at)) {
        if (this.isClosed) break;
        video.currentTime = Math.min(at, Math.max(video.duration - 0.05, 0));
        if (await once(video, "seeked")) element.prepend(frameOf(video));
      }
    }
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

/** Wait for an event of a player; false if it cannot play, or takes too long. */
function once(video, name) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE);
    const end = (isThere) => { clearTimeout(timer); resolve(isThere); };
    video.addEventListener(name, () => end(true), { once: true });
    video.addEventListener("error", () => end(false), { once: true });
  });
}

function frameOf(video) {
  const scale = Math.min(STILL.width / video.videoWidth, STILL.height / video.videoHeight);
  const canvas = make("canvas", { class: "still", width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale), "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function mostMoved({ answers }, modality) {
  const all = answers.flatMap((one) => one.moments.filter((m) => m.modality === modality && m.effect !== null));
  return all.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, MOST_MOVED).map((moment) => ({ ...moment, shown: "effect" }));
}

function mostAttended({ answers }, modality) {
  const all = modality === "text" ? answers.flatMap((one) => one.words.filter((word) => word.weight !== null)) : answers.flatMap((one) => peaks(one, modality));
  return all.filter((one) => one.weight >= LEAST_ATTENTION).sort((a, b) => b.weight - a.weight).slice(0, MOST_ATTENDED)
    .map((one) => ({ ...one, modality, shown: "weight" }));
}

/** Steps with more attention than those beside them, each with the effect of the stretch around it. */
function peaks(one, modality) {
  const { times: at, weights, windows } = one.steps[modality] ?? { times: [], weights: [], windows: [] };
  return weights.map((weight, i) => ({ weight, i })).filter(({ weight, i }) => weight >= (weights[i - 1] ?? 0) && weight > (weights[i + 1] ?? 0))
    .map(({ weight, i }) => {
      const effect = windows.find((window) => at[i] >= window.start && at[i] < window.end)?.effect ?? null;
      return { start: at[i], end: at[i], text: "", weight, effect };
    });
}

export function times(weight) {
  return `${weight.toFixed(1)}×`;
}

/** What is known of a word or moment, in words. */
export function describeWeight({ effect, weight }) {
  const parts = [];
  if (effect !== null) parts.push(`the overall score minus what it would be without it: ${signed(effect)}`);
  if (weight !== null) parts.push(`attention: ${weight.toFixed(2)} times the average`);
  return parts.join("; ") || "not read by the model";
}
