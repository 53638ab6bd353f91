// An answer as people read it: the verdict, the scores, the player with its timeline, what moved the score, the words.
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
  const apart = modalityScores(prediction);
  if (apart) place.append(apart);
  if (timeline) {
    const curves = prediction.answers.length > 1 ? legend(prediction, timeline) : null;
    place.append(make("section", { class: "card", "aria-label": "Over time" }, player?.element ?? null, curves, timeline.svg, hint(prediction)));
    const moments = strongest(prediction, seek);
    if (moments) place.append(moments);
  }
  place.append(make("section", { class: "card" }, ...titleOfWords(prediction, isTimed), list.element));
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
        make("p", { class: "verdict" }, words, make("span", { class: "number" }, `${signed(value)} on a scale from ${signed(scale[0], 0)} to ${signed(scale[1], 0)}`))),
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
  return `${Math.round(100 * level)} % prediction interval: ${signed(one.low)} to ${signed(one.high)} (shaded), calibrated on validation clips.`;
}

/** Of a single utterance with several modalities: the score of each, its interval and its contribution. */
function modalityScores(prediction) {
  const [one] = prediction.answers;
  const there = MODALITIES.filter((m) => one.unimodal[m]);
  if (prediction.answers.length > 1 || there.length < 2) return null;
  const rows = there.flatMap((m) => {
    const score = one.unimodal[m];
    const share = one.influence[m];
    return [
      make("b", { class: m }, NAMES[m]), rail(score, prediction.scale, m),
      make("span", {}, `${score.words} ${signed(score.value)}`, make("small", { class: "quiet" }, share === undefined ? "" : `contribution ${signed(share)}`)),
    ];
  });
  return make("section", { class: "card" }, make("h2", {}, "Each modality by itself"), make("div", { class: "apart" }, ...rows),
    make("p", { class: "quiet small" }, "Contribution: the overall score minus what it would be without the modality."));
}

function rail(score, [low, high], modality) {
  const at = (v) => `${3 + (94 * (v - low)) / (high - low)}%`;
  const span = score.low === null ? [] : [draw("line", { class: "span", x1: at(score.low), x2: at(score.high), y1: 12, y2: 12 })];
  return draw("svg", { class: `rail-of ${modality}`, role: "img", "aria-label": `${NAMES[modality]} ${signed(score.value)}` },
    draw("line", { class: "rail", x1: at(low), x2: at(high), y1: 12, y2: 12 }), ...span,
    draw("line", { class: "tick", x1: at(0), x2: at(0), y1: 4, y2: 20 }), draw("circle", { cx: at(score.value), cy: 12, r: 6 }));
}

function titleOfWords({ answers }, isTimed) {
  const words = answers.flatMap((one) => one.words);
  const parts = [];
  if (words.some((word) => word.effect !== null)) parts.push("Blue words raise the overall score, red words lower it: what it would lose without them.");
  if (words.some((word) => word.weight !== null)) parts.push("Underlined: attention above the average, which does not explain a score.");
  const timed = answers.some((one) => one.transcript) ? "What is said" : "Piece by piece";
  const title = make("h2", {}, isTimed ? timed : "The words");
  return parts.length ? [title, make("p", { class: "quiet small" }, parts.join(" "))] : [title];
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
  const isMany = prediction.answers.length > 1;
  const clashes = prediction.answers.filter((one) => one.conflicts.length).length;
  const band = prediction.level === null || !isMany ? "" : "The grey band is the interval of the overall score. ";
  const marks = clashes && isMany ? "A triangle on top: the intervals of two modalities do not meet. " : "";
  return make("p", { class: "quiet small" }, `${band}${marks}Bars upwards: this stretch of voice or face raises the overall score; downwards: it lowers it. Below them: attention above the average. Click to go there.`);
}

function strongest(prediction, seek) {
  const rows = MODALITIES.map((modality) => {
    const all = prediction.answers.flatMap((one) => one.moments.filter((m) => m.modality === modality && m.effect !== null));
    const most = all.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, 5);
    if (!most.length) return null;
    return make("div", { class: `row ${modality}` }, make("span", {}, NAMES[modality]), ...most.map((moment) => button(moment, seek)));
  }).filter((row) => row !== null);
  if (!rows.length) return null;
  return make("section", { class: "card" }, make("h2", {}, "What moved the score most"), make("div", { class: "moments" }, ...rows));
}

function button(moment, seek) {
  const effect = make("span", { class: moment.effect < 0 ? "lower" : "raise" }, ` ${signed(moment.effect)}`);
  const title = describe(moment);
  if (moment.start === null) return make("span", { class: "word", title }, moment.text, effect);
  const words = moment.text ? `“${moment.text}” ${clock(moment.start, 1)}` : clock(moment.start, 1);
  return make("button", { type: "button", title, onclick: () => seek(moment.start) }, words, effect);
}

/** What is known of a word or moment, in words. */
function describe({ effect, weight }) {
  const parts = [];
  if (effect !== null) parts.push(`the overall score minus what it would be without it: ${signed(effect)}`);
  if (weight !== null) parts.push(`attention: ${weight.toFixed(2)} times the average`);
  return parts.join("; ") || "not read by the model";
}

class Utterances {
  constructor(prediction, seek) {
    this.answers = prediction.answers;
    this.most = Math.max(0.1 * Math.max(...prediction.scale.map(Math.abs)), ...prediction.answers.flatMap((one) => one.words.map((word) => Math.abs(word.effect ?? 0))));
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
      make("div", { class: "facts" }, ...facts(one, this.answers.length > 1 || Object.keys(one.unimodal).length < 2)));
  }

  #shade(one) {
    if (!one.words.length) return [make("span", { class: "quiet" }, one.transcript || "no words")];
    return one.words.flatMap((word) => {
      const span = make("span", { title: describe(word), class: word.weight === null && word.effect === null ? "quiet" : null }, word.text);
      const strength = Math.abs(word.effect ?? 0) / this.most;
      if (strength > 0.05) span.style.backgroundColor = `rgba(var(--${word.effect < 0 ? "lower" : "raise"}), ${(0.55 * strength).toFixed(2)})`;
      if (word.weight > 1.05) span.classList.add("attended");
      if (word.start !== null) this.words.push({ start: word.start, end: word.end, span });
      return [span, " "];
    });
  }
}

function facts(one, withScores) {
  const there = MODALITIES.filter((m) => withScores && one.unimodal[m]).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` ${one.unimodal[m].words} ${signed(one.unimodal[m].value)}${contribution(one, m)}`));
  const gone = MODALITIES.filter((m) => one.absent[m]).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` absent: ${one.absent[m]}`));
  const clashes = one.conflicts.map(([a, b]) => make("span", { class: "clash-note" }, `${NAMES[a]} and ${NAMES[b].toLowerCase()} disagree`));
  const notes = one.notes.map((note) => make("span", { class: "clash-note" }, note));
  return [...there, ...gone, ...clashes, ...notes];
}

function contribution(one, modality) {
  return one.influence[modality] === undefined ? "" : `, contribution ${signed(one.influence[modality])}`;
}
