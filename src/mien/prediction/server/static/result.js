// An answer as people read it: the verdict, the scores, the player with its timeline, what moved the score, the words.
import { Downloads } from "./downloads.js";
import { Moments, describeWeight } from "./moments.js";
import { MODALITIES, NAMES, clock, draw, isUncertain, make, nameSentiment, overall, signed } from "./parts.js";
import { Player } from "./player.js";
import { dots, gauge } from "./scores.js";
import { effectOn, factsOf, headlineOf, restsOn, shade, targetCards, wordEffects, wordsOf } from "./targets.js";
import { Timeline } from "./timeline.js";

let shown = null;

/** Show the prediction of a request in a place; media is the recording itself, or null for a sentence. */
export function showResult(place, prediction, { media, ticket, loaded }) {
  closeResult(place);
  const isTimed = prediction.answers.some((one) => one.start !== null);
  const list = new Utterances(prediction, (t) => seek(t));
  const cards = targetCards(prediction, (t) => seek(t));
  const timeline = isTimed ? new Timeline(prediction, { onSeek: (t) => seek(t) }) : null;
  const player = media && isTimed ? new Player(media, (t) => arrive(t)) : null;
  function seek(seconds) {
    player?.seek(seconds);
    arrive(seconds);
  }
  function arrive(seconds) {
    timeline?.move(seconds);
    cards.move(seconds);
    list.mark(seconds);
  }
  const downloads = new Downloads(prediction, ticket, media);
  const moments = new Moments(prediction, media, seek);
  shown = { timeline, player, downloads, moments };
  place.classList.toggle("text-only", !isTimed);
  place.append(head(prediction, downloads.element, loaded), ...cards.elements);
  if (timeline) {
    const curves = prediction.answers.length > 1 && prediction.scale ? legend(prediction, timeline) : null;
    place.append(make("section", { class: "card", "aria-label": "Over time" }, player?.element ?? null, curves, timeline.svg, hint(prediction)));
  }
  const said = make("section", { class: "card" }, ...titleOfWords(prediction, isTimed), list.element);
  place.append(...(isTimed ? [moments.element, said] : [said, moments.element]).filter(Boolean));
  place.hidden = false;
  timeline?.render();
}

/** Take the answer away, with what it holds. */
export function closeResult(place) {
  shown?.timeline?.close();
  shown?.player?.close();
  shown?.downloads.close();
  shown?.moments.close();
  shown = null;
  place.replaceChildren();
  place.hidden = true;
}

function head(prediction, downloads, loaded) {
  const { answers, scale, source, seconds } = prediction;
  const one = answers.length === 1 ? answers[0] : null;
  const value = scale ? one?.score.value ?? overall(prediction) : null;
  const words = scale ? one?.score.words ?? nameSentiment(value, scale) : null;
  const others = headlineOf(prediction);
  const size = seconds === null ? "" : ` · ${clock(seconds)}`;
  const language = prediction.speech?.language;
  const spoken = language ? ` · spoken in ${new Intl.DisplayNames(["en"], { type: "language" }).of(language)}` : "";
  const name = source === "text" && seconds === null ? "The sentence" : source;
  const isSplit = one && Object.keys(one.unimodal).length > 1;
  const notes = [...prediction.warnings, ...(one?.notes ?? []), ...(one ? clashes(one) : [])];
  return make("section", { class: "card head-card", tabindex: -1, "aria-label": "Overall" },
    make("div", { class: "row spread" },
      make("div", { class: "head" },
        make("p", { class: "quiet small source" }, name + size + spoken),
        scale ? make("p", { class: "verdict" }, words, doubt(one?.score, scale), " ", make("span", { class: "number" }, `${signed(value)} on a scale from ${signed(scale[0], 0)} to ${signed(scale[1], 0)}`)) : null,
        ...others.map((parts) => make("p", { class: scale ? "verdict small-verdict" : "verdict" }, ...parts))),
      downloads),
    scale ? (isSplit ? dots(one, scale) : gauge(value, one?.score ?? null, scale)) : null,
    scale ? make("p", { class: "quiet small" }, explain(prediction, one)) : null,
    isSplit ? make("p", { class: "quiet small" }, "Contribution: the overall score minus what it would be without the modality. Contributions need not add up to the overall score.") : null,
    notes.length ? make("ul", { class: "notes" }, ...notes.map((note) => make("li", {}, note))) : null,
    describeModel(prediction, loaded));
}

/** What a headline adds where a score may be positive as well as negative. */
function doubt(score, scale) {
  if (!score || !isUncertain(score, scale)) return null;
  return make("span", { class: "doubt" }, `, but uncertain (${signed(score.low, 1)} to ${signed(score.high, 1)})`);
}

function explain(prediction, one) {
  if (!one) return explainMean(prediction);
  const { score } = one;
  if (score.low === null) return "The model was not calibrated, so there is no prediction interval.";
  const unsure = isUncertain(score, prediction.scale) ? " It contains 0, so the sentiment may be positive as well as negative." : "";
  return `${percent(prediction)} prediction interval: ${signed(score.low)} to ${signed(score.high)} (shaded), calibrated on validation clips.${unsure}`;
}

function explainMean(prediction) {
  const { answers, seconds, scale } = prediction;
  const values = answers.map((answer) => answer.score.value);
  const kind = seconds === null ? "parts" : "utterances";
  const unsure = answers.filter((answer) => isUncertain(answer.score, scale)).length;
  const mean = `Mean of ${values.length} ${kind}, weighted by length; their scores are between ${signed(Math.min(...values))} and ${signed(Math.max(...values))}.`;
  if (answers.every((answer) => answer.score.low === null)) return `${mean} The model was not calibrated, so there are no prediction intervals.`;
  const share = unsure ? ` ${unsure} of the ${values.length} may be positive as well as negative.` : "";
  return `${mean}${share} There is no prediction interval for the mean: intervals are calibrated on single clips, and errors of one speaker's ${kind} are not independent. Each of the ${kind} below has its own (${percent(prediction)}).`;
}

function percent({ level }) {
  return `${Math.round(100 * level)} %`;
}

function describeModel({ model, companion }, loaded) {
  const licence = model.licence.split(";")[0];
  const own = companion?.licence.split(";")[0];
  const origin = loaded?.is_shipped ? ", which comes with mien" : `, trained on ${model.corpus}`;
  const card = (name) => (loaded?.cards.includes(name) ? [" ", make("a", { href: `/model-card/${name}` }, `Model card of ${name}`)] : []);
  const beside = companion ? [` Beside it: ${companion.name}${own ? `; for ${own}` : ""}.`, ...card(companion.name)] : [];
  return make("p", { class: "quiet small source" }, `Model: ${model.name}${origin}${licence ? `; for ${licence}` : ""}.`, ...card(model.name), ...beside);
}

function titleOfWords(prediction, isTimed) {
  const { answers, scale } = prediction;
  const words = answers.flatMap((one) => one.words);
  const parts = [];
  if (words.some((word) => word.effect !== null)) parts.push("Blue words raise the overall score, red words lower it: the score minus what it would be without them.");
  const of = scale ? null : answers.map((one) => wordEffects(prediction, one)).find((own) => own);
  if (of) parts.push(`Blue words make the likeliest class of ${of.target.name} more probable, red words less.`);
  if (words.some((word) => word.weight !== null)) parts.push(`Underlined: attention above the average, which does not explain ${scale ? "a score" : "what is predicted"}.`);
  const timed = answers.some((one) => one.transcript) ? "What is said" : "Piece by piece";
  const title = make("h2", {}, isTimed ? timed : "The words");
  return parts.length ? [title, make("p", { class: "quiet small" }, parts.join(" "))] : [title];
}

function legend(prediction, timeline) {
  const there = ["fusion", ...MODALITIES.filter((m) => prediction.answers.some((one) => one.unimodal[m]))];
  return make("div", { class: "legend", role: "group", "aria-label": "Curves" }, ...there.map((task) => make("button", {
    type: "button", "aria-pressed": "true", class: task,
    onclick: (event) => event.currentTarget.setAttribute("aria-pressed", timeline.toggle(task)),
  }, swatch(task), NAMES[task])));
}

/** A piece of the line of a curve. */
function swatch(task) {
  return draw("svg", { class: "swatch", width: 26, height: 8, "aria-hidden": "true" }, draw("path", { class: `curve ${task}`, d: "M1 4H25" }));
}

function hint(prediction) {
  const isMany = prediction.answers.length > 1;
  const isMarked = prediction.answers.some((one) => one.conflicts.length);
  const band = prediction.level === null || !isMany || !prediction.scale ? "" : `The grey band is the ${percent(prediction)} prediction interval of the overall score. `;
  const marks = isMarked && isMany ? "A triangle on top: the intervals of two modalities do not overlap. " : "";
  const isDrawn = prediction.answers.some((one) => Object.keys(one.steps).length);
  const bars = !isDrawn ? "" : prediction.scale ? "Bars upwards: this stretch of voice or face raises the overall score; downwards: it lowers it. Below them: attention above the average. " : "Coloured: attention above the average. ";
  return make("p", { class: "quiet small" }, `${band}${marks}${bars}Click, or use the arrow keys, to go to a time.`);
}

class Utterances {
  constructor(prediction, seek) {
    this.prediction = prediction;
    this.answers = prediction.answers;
    const effects = prediction.answers.flatMap((one) => (one.score ? one.words.map((word) => word.effect) : wordEffects(prediction, one)?.effects ?? []));
    this.most = Math.max(0.1 * Math.max(...(prediction.scale ?? [1]).map(Math.abs)), ...effects.map((effect) => Math.abs(effect ?? 0)));
    this.words = [];
    this.current = -1;
    this.items = prediction.answers.map((one) => this.#item(one, seek));
    const isMany = this.items.length > 1; // then it scrolls, by keyboard too
    this.element = make("ol", { class: "answers", tabindex: isMany ? 0 : null, "aria-label": isMany ? "Utterances" : null }, ...this.items);
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
    const isAlone = this.answers.length === 1;
    return make("li", {}, when, make("div", { class: "what" }, ...this.#shade(one)),
      make("div", { class: "how" }, ...this.#verdict(one)),
      make("div", { class: "facts" }, ...facts(one, isAlone), ...(isAlone ? [] : factsOf(this.prediction, one))));
  }

  /** The sentiment of an utterance; without sentiment, the first of what is predicted. */
  #verdict(one) {
    if (!one.score) {
      const [first] = this.prediction.targets;
      return [wordsOf(first, one.targets[first.name].overall)];
    }
    const { low, high, value, words } = one.score;
    return [words, make("small", {}, signed(value) + (low === null ? "" : ` (${signed(low, 1)} to ${signed(high, 1)})`))];
  }

  #shade(one) {
    if (!one.words.length) return [make("span", { class: "quiet" }, one.transcript || "No words.")];
    const of = one.score ? null : wordEffects(this.prediction, one);
    return one.words.flatMap((word, i) => {
      const effect = of ? of.effects[i] : word.effect;
      const title = of && effect !== null ? effectOn(of.name, effect) : describeWeight(word);
      const span = make("span", { title, class: word.weight === null && effect === null ? "quiet" : null }, word.text);
      shade(span, effect, this.most);
      if (word.weight > 1.05) span.classList.add("attended");
      if (word.start !== null) this.words.push({ start: word.start, end: word.end, span });
      return [span, " "];
    });
  }
}

function facts(one, isAlone) {
  const isShort = MODALITIES.filter((m) => restsOn(one, m)).length < 2; // its score is the overall one
  const there = MODALITIES.filter((m) => one.unimodal[m] && !isAlone && !isShort).map((m) => {
    const score = one.unimodal[m];
    const range = score.low === null ? "" : ` (${signed(score.low, 1)} to ${signed(score.high, 1)})`;
    const share = one.influence[m] === undefined ? "" : `, contribution ${signed(one.influence[m])}`;
    return make("span", { class: m }, make("b", {}, NAMES[m]), ` ${score.words} ${signed(score.value)}${range}${share}`);
  });
  const only = isShort ? MODALITIES.filter((m) => restsOn(one, m)).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), " only")) : [];
  const gone = MODALITIES.filter((m) => one.absent[m]).map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` absent: ${one.absent[m]}`));
  const sure = one.confidence == null ? [] : [make("span", {}, `words recognised with a confidence of ${Math.round(100 * one.confidence)} %`)];
  const warnings = isAlone ? [] : [...clashes(one), ...one.notes].map((note) => make("span", { class: "clash-note" }, note));
  return [...only, ...there, ...gone, ...sure, ...warnings];
}

function clashes(one) {
  return one.conflicts.map(([a, b]) => `${NAMES[a]} and ${NAMES[b].toLowerCase()} disagree: their intervals do not overlap`);
}
