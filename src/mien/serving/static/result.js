// An answer as people read it: the verdict, the player with its timeline, what weighed most, the words.
import { MODALITIES, NAMES, clock, draw, make, nameSentiment, overall, signed } from "./parts.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";

let shown = null;

/** Show a prediction in a place; media is the recording itself, or null for a sentence. */
export function showResult(place, prediction, media) {
  closeResult(place);
  const isTimed = prediction.answers.some((one) => one.start !== null);
  const list = new Utterances(prediction, (t) => seek(t));
  const timeline = isTimed ? new Timeline(prediction, { onSeek: (t) => seek(t) }) : null;
  const player = media && isTimed ? new Player(media, (t) => arrive(t)) : null;
  function seek(seconds) {
    player?.seek(seconds);
    arrive(seconds);
  }
  function arrive(seconds) {
    timeline?.move(seconds);
    list.mark(seconds);
  }
  shown = { timeline, player, url: URL.createObjectURL(new Blob([JSON.stringify(prediction, null, 1)], { type: "application/json" })) };
  place.classList.toggle("text-only", !isTimed);
  place.append(head(prediction, shown.url));
  if (timeline) {
    place.append(make("section", { class: "card", "aria-label": "Over time" }, player?.element ?? null, legend(prediction, timeline), timeline.svg, hint(prediction)));
    const moments = heaviest(prediction, seek);
    if (moments) place.append(moments);
  }
  place.append(make("section", { class: "card" }, make("h2", {}, isTimed ? "What is said, shaded by weight" : "The words, shaded by weight"), list.element));
  place.hidden = false;
  timeline?.render();
}

/** Take the answer away, with what it holds. */
export function closeResult(place) {
  shown?.timeline?.close();
  shown?.player?.close();
  if (shown) URL.revokeObjectURL(shown.url);
  shown = null;
  place.replaceChildren();
  place.hidden = true;
}

function head(prediction, url) {
  const { answers, scale, level, source, model, seconds } = prediction;
  const one = answers.length === 1 ? answers[0].score : null;
  const value = one?.value ?? overall(prediction);
  const words = one?.words ?? nameSentiment(value, scale);
  const size = seconds === null ? "" : ` · ${clock(seconds)}`;
  const name = source === "text" && seconds === null ? "The sentence" : source;
  const notes = prediction.warnings.map((warning) => make("li", {}, warning));
  return make("section", { class: "card head-card" },
    make("div", { class: "row spread" },
      make("div", { class: "head" },
        make("p", { class: "quiet small source" }, name + size),
        make("p", { class: "verdict" }, words, make("span", { class: "number" }, `${signed(value)} of ${signed(value < 0 ? scale[0] : scale[1], 0)}`))),
      make("a", { class: "button", href: url, download: "prediction.json" }, "Download JSON")),
    gauge(value, one, scale),
    make("p", { class: "quiet small" }, explain(prediction, one, level)),
    notes.length ? make("ul", { class: "notes" }, ...notes) : null,
    make("p", { class: "quiet small source" }, `Model ${model.name}; trained on the corpus ${model.corpus}${model.licence ? `; for ${model.licence}` : ""}`));
}

function explain(prediction, one, level) {
  if (!one) {
    const values = prediction.answers.map((answer) => answer.score.value);
    return `Mean of ${values.length} ${prediction.seconds === null ? "parts" : "utterances"} by their length; they lie between ${signed(Math.min(...values))} and ${signed(Math.max(...values))}.`;
  }
  if (one.low === null) return "The model was not calibrated, so there is no interval.";
  return `${Math.round(100 * level)} of 100 such clips are annotated between ${signed(one.low)} and ${signed(one.high)}: the pale bar.`;
}

function gauge(value, score, [low, high]) {
  const x = (v) => 3 + (94 * (v - low)) / (high - low);
  const at = (v) => `${x(v)}%`;
  const spans = score && score.low !== null ? [draw("line", { class: "span", x1: at(score.low), x2: at(score.high), y1: 16, y2: 16 })] : [];
  const marks = [low, 0, high].flatMap((v) => [
    draw("line", { class: "tick", x1: at(v), x2: at(v), y1: 8, y2: 24 }),
    draw("text", { x: at(v), y: 42, "text-anchor": v === 0 ? "middle" : v === low ? "start" : "end" }, v === 0 ? "neutral" : `${signed(v, 0)} ${v < 0 ? "negative" : "positive"}`),
  ]);
  return draw("svg", { class: "gauge", role: "img", "aria-label": `${signed(value)} on a scale from ${low} to ${high}` },
    draw("line", { class: "rail", x1: at(low), x2: at(high), y1: 16, y2: 16 }), ...spans, ...marks,
    draw("circle", { class: "dot-mark", cx: at(value), cy: 16, r: 8 }));
}

function legend(prediction, timeline) {
  const there = ["fusion", ...MODALITIES.filter((m) => prediction.answers.some((one) => one.unimodal[m]))];
  return make("div", { class: "legend", role: "group", "aria-label": "Curves" }, ...there.map((task) => make("button", {
    type: "button", "aria-pressed": "true", class: task,
    onclick: (event) => event.currentTarget.setAttribute("aria-pressed", timeline.toggle(task)),
  }, make("span", { class: `swatch ${task}` }), NAMES[task])));
}

function hint(prediction) {
  const clashes = prediction.answers.filter((one) => one.conflicts.length).length;
  const band = prediction.level === null ? "" : "The grey band is the interval of all together. ";
  const marks = clashes ? "A triangle on top: modalities lie on opposite sides of neutral. " : "";
  return make("p", { class: "quiet small" }, `${band}${marks}The strips below show when voice and face weighed more than average. Click to go there.`);
}

function heaviest(prediction, seek) {
  const rows = MODALITIES.map((modality) => {
    const all = prediction.answers.flatMap((one) => one.moments.filter((m) => m.modality === modality));
    const most = all.sort((a, b) => b.weight - a.weight).slice(0, 5);
    if (!most.length) return null;
    return make("div", { class: `row ${modality}` }, make("span", {}, NAMES[modality]), ...most.map((moment) => button(moment, seek)));
  }).filter((row) => row !== null);
  if (!rows.length) return null;
  return make("section", { class: "card" }, make("h2", {}, "What weighed most"), make("div", { class: "moments" }, ...rows));
}

function button(moment, seek) {
  const weight = `${moment.weight.toFixed(2)} times the average weight`;
  if (moment.start === null) return make("span", { class: "word", title: weight }, moment.text);
  const words = moment.text ? `“${moment.text}” ${clock(moment.start, 1)}` : clock(moment.start, 1);
  return make("button", { type: "button", title: weight, onclick: () => seek(moment.start) }, words);
}

class Utterances {
  constructor(prediction, seek) {
    this.answers = prediction.answers;
    this.words = [];
    this.current = -1;
    this.items = prediction.answers.map((one) => this.#item(one, seek));
    this.element = make("ol", { class: "answers" }, ...this.items);
  }

  /** Mark the utterance and the word at a time. */
  mark(seconds) {
    const now = this.answers.findIndex((one) => one.start !== null && seconds >= one.start && seconds < one.end);
    if (now !== this.current) {
      this.items[this.current]?.classList.remove("current");
      this.items[now]?.classList.add("current");
      if (now >= 0 && this.items.length > 1) this.#scroll(this.items[now]);
      this.current = now;
    }
    for (const { start, end, span } of this.words) span.classList.toggle("spoken", seconds >= start && seconds < end);
  }

  #scroll(item) {
    const list = this.element;
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
  }

  #item(one, seek) {
    const when = one.start === null ? null : make("button", { type: "button", class: "when", onclick: () => seek(one.start) }, `${clock(one.start)}–${clock(one.end)}`);
    const low = one.score.low;
    const range = low === null ? "" : ` (${signed(low, 1)} to ${signed(one.score.high, 1)})`;
    return make("li", {}, when, make("div", { class: "what" }, ...this.#shade(one)),
      make("div", { class: "how" }, one.score.words, make("small", {}, signed(one.score.value) + range)),
      make("div", { class: "facts" }, ...facts(one)));
  }

  #shade(one) {
    if (!one.words.length) return [make("span", { class: "quiet" }, one.transcript || "no words")];
    const most = Math.max(...one.words.map((word) => word.weight - 1), 0.02);
    return one.words.flatMap((word) => {
      const title = word.weight === null ? "not read by the model" : `${word.weight.toFixed(2)} times the average weight`;
      const span = make("span", { title, class: word.weight === null ? "quiet" : null }, word.text);
      const strength = Math.max(word.weight - 1, 0) / most;
      if (strength > 0.02) span.style.backgroundColor = `rgba(64, 148, 220, ${(0.5 * strength).toFixed(2)})`;
      if (word.start !== null) this.words.push({ start: word.start, end: word.end, span });
      return [span, " "];
    });
  }
}

function facts(one) {
  const there = MODALITIES.filter((m) => one.unimodal[m]).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` ${one.unimodal[m].words} ${signed(one.unimodal[m].value)}`));
  const gone = MODALITIES.filter((m) => one.absent[m]).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` absent: ${one.absent[m]}`));
  const clashes = one.conflicts.map(([a, b]) => make("span", { class: "clash-note" }, `${NAMES[a]} and ${NAMES[b].toLowerCase()} disagree`));
  return [...there, ...gone, ...clashes];
}
