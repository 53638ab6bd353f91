// Small pieces that the other files share: elements, numbers, names.

export const MODALITIES = ["text", "audio", "video"];
export const NAMES = { fusion: "Overall", text: "Text", audio: "Voice", video: "Face" };

const SVG = "http://www.w3.org/2000/svg";

/** Make an element; what comes from outside is only ever inserted as text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function clock(seconds, digits = 0) {
  const scale = 10 ** digits;
  const whole = Math.round(seconds * scale) / scale;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A length of time in words. */
export function duration(seconds) {
  const [count, unit] = seconds < 120 || seconds % 60 ? [+seconds.toFixed(1), "second"] : [seconds / 60, "minute"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** Seconds between the marks of an axis with at most so many. */
export function niceStep(end, count) {
  const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  return steps.find((step) => end / step <= count) ?? 14400;
}

export function signed(value, digits = 2) {
  const shown = Math.abs(value).toFixed(digits);
  if (Number(shown) === 0) return shown;
  return (value < 0 ? "−" : "+") + shown;
}

/** The same words as name_sentiment in answer.py, for a mean that the server does not name. */
export function nameSentiment(value, [low, high]) {
  const share = value / (Math.max(Math.abs(low), Math.abs(high)) || 1);
  const grade = Math.min(Math.round(3 * Math.abs(share)), 3);
  if (grade === 0) return "neutral";
  return `${["", "slightly ", "", "strongly "][grade]}${share > 0 ? "positive" : "negative"}`;
}

/** Whether a score may be positive as well as negative; as is_uncertain in answer.py. */
export function isUncertain({ low, high }, scale) {
  if (low === null || !(low < 0 && high > 0)) return false;
  return nameSentiment(low, scale) !== "neutral" || nameSentiment(high, scale) !== "neutral";
}

/** Mean of the fused scores, weighted by seconds, else by words; as Prediction.overall. */
export function overall(prediction) {
  let lengths = prediction.answers.map((one) => (one.end ?? 0) - (one.start ?? 0));
  let sum = lengths.reduce((a, b) => a + b, 0);
  if (!sum) {
    lengths = prediction.answers.map((one) => one.transcript.trim().split(/\s+/).length);
    sum = lengths.reduce((a, b) => a + b, 0);
  }
  return prediction.answers.reduce((all, one, i) => all + lengths[i] * one.score.value, 0) / sum;
}
