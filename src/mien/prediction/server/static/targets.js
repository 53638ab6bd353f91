// What is predicted besides sentiment, such as emotion: probabilities with sets, values with intervals, over time.
import { MODALITIES, NAMES, clock, draw, make, niceStep, signed } from "./parts.js";

const MOST_SHOWN = 8; // classes; of more, the largest
const CELL = 18;
const AXIS = 18;
const MOST_MOVED = 5; // moments of a modality
const MOST_TICKS = 6; // of a strip, which may be as narrow as on a phone
const EDGE = 3; // percent of the width left free at either end

/** What is predicted, for a headline: words, and what they are. Of a single utterance its set, of several the largest mean. */
export function headlineOf(prediction) {
  const one = prediction.answers.length === 1 ? prediction.answers[0] : null;
  return (prediction.targets ?? []).map((target) => {
    if (one) return verdictOf(target, one.targets[target.name].overall, `${target.name}: `);
    const [name, value] = ranked(prediction.target_means[target.name])[0];
    return target.kind === "score" ? [`${target.name}: ${number(value)} `, aside("on average")] : [`${target.name}: most ${name} `, aside(`${number(value)} on average`)];
  });
}

/** A value in words; of classes and labels the set, whose level follows as an aside: it is no probability of what is named. */
function verdictOf(target, value, before = "") {
  const level = value.words && target.level !== null ? aside(levelOfSet(target)) : null;
  return level ? [`${before}${value.words} `, level] : [before + wordsOf(target, value)];
}

function aside(text) {
  return make("span", { class: "aside" }, text);
}

/** A value in words, with its level. */
export function wordsOf(target, value) {
  if (value.kind === "score") return levelOf(target, value);
  if (value.kind === "intensities") {
    const [name] = ranked(numbersOf(target, value))[0];
    return `most ${name} ${levelOf(target, value.levels[name])}`;
  }
  return target.level === null ? value.words : `${value.words} (${levelOfSet(target)})`;
}

/** The same, with the probability of the likeliest class. */
function fullWordsOf(target, value) {
  if (!value.probabilities) return wordsOf(target, value);
  const [name, probability] = ranked(value.probabilities)[0];
  return `${wordsOf(target, value)}, ${name} ${number(probability)}`;
}

/** Cards of targets, and how the time is shown in them: bars of a single utterance, means and a strip over time of several. */
export function targetCards(prediction, seek) {
  const { answers } = prediction;
  const strips = [];
  const elements = (prediction.targets ?? []).map((target) => {
    const only = answers.length === 1 ? answers[0].targets[target.name] : null;
    const parts = only ? [bars(target, only)] : over(prediction, target, seek, strips);
    return make("section", { class: "card target", "aria-label": target.name },
      make("h2", {}, target.name), only ? make("p", { class: "verdict small-verdict" }, ...verdictOf(target, only.overall)) : null, ...parts, ...(areAmongWords(prediction, target) ? [] : shaded(only)), ...moved(prediction, target, seek),
      make("p", { class: "quiet small" }, loneOf(prediction, only) + explain(target, only)));
  });
  return { elements, move: (seconds) => strips.forEach((strip) => strip(seconds)) };
}

/** What each modality says of each target of an utterance, for the list of utterances. */
export function factsOf(prediction, one) {
  return (prediction.targets ?? []).flatMap((target) => {
    const answer = one.targets?.[target.name];
    if (!answer) return []; // nothing was there to read it from
    const there = MODALITIES.filter((m) => answer.unimodal[m]);
    const own = there.length > 1 ? there.map((m) => make("span", { class: m }, make("b", {}, NAMES[m]), ` ${fullWordsOf(target, answer.unimodal[m])}`)) : [];
    return [make("span", { class: "fusion" }, make("b", {}, target.name[0].toUpperCase() + target.name.slice(1)), ` ${fullWordsOf(target, answer.overall)}`), ...own];
  });
}

/** Whether an answer rests on a modality. */
export function restsOn(one, modality) {
  return Boolean(one.unimodal[modality]) || Object.values(one.targets ?? {}).some((answer) => answer.unimodal[modality]);
}

/** Of which modality alone a target is read, where the model that predicts it reads fewer than the others do. */
function loneOf({ answers }, only) {
  const own = only ? Object.keys(only.unimodal) : [];
  return own.length === 1 && Object.keys(answers[0].unimodal).length > 1 ? `Read from the ${NAMES[own[0]].toLowerCase()} alone. ` : "";
}

/** The words and moments that moved the probability of the likeliest class most, to go to where they have a time. */
function moved({ answers }, target, seek) {
  const all = answers.flatMap((one) => (one.targets?.[target.name]?.moments ?? []).map((moment) => ({ ...moment, name: one.targets[target.name].overall.name })));
  if (!all.length) return [];
  const names = new Set(all.map(({ name }) => name));
  const title = names.size === 1 ? `What moved “${all[0].name}” most` : "What moved the likeliest class most";
  const rows = MODALITIES.map((m) => [m, all.filter(({ modality }) => modality === m).sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, MOST_MOVED)])
    .filter(([, chosen]) => chosen.length)
    .map(([m, chosen]) => make("div", { class: `row ${m}` }, make("span", {}, NAMES[m]), ...chosen.map((moment) => pushed(moment, names.size > 1, seek))));
  return [make("div", { class: "moments" }, make("h3", {}, title), ...rows),
    make("p", { class: "quiet small" }, "Each number is an effect: the overall probability minus what it would be without the word or moment.")];
}

function pushed({ start, end, text, effect, name }, isNamed, seek) {
  const isTimed = start !== null;
  const attributes = isTimed ? { type: "button", title: `${clock(start, 1)} to ${clock(end, 1)}`, onclick: () => seek(start) } : { class: "word" };
  return make(isTimed ? "button" : "span", attributes,
    make("span", {}, isNamed ? `${name} ` : "", text ? `“${text}” ` : "", isTimed ? make("span", { class: "quiet" }, clock(start, 1)) : ""),
    make("span", { class: effect < 0 ? "lower" : "raise" }, signed(effect)));
}

/** What each word does to the likeliest class of the first target that has such effects; null if none has. */
export function wordEffects(prediction, one) {
  const target = (prediction.targets ?? []).find(({ name }) => one.targets?.[name]?.words?.length === one.words.length);
  const answer = target && one.words.length ? one.targets[target.name] : null;
  return answer && { target, name: answer.overall.name, effects: answer.words.map(({ effect }) => effect) };
}

/** Whether the words of the answer itself are shaded by what they do to this target: where no sentiment is predicted. */
function areAmongWords(prediction, target) {
  const [first] = prediction.answers;
  return !first.score && wordEffects(prediction, first)?.target === target;
}

/** The words of an utterance, shaded by what they do to its likeliest class; nothing if that is not known. */
function shaded(answer) {
  const words = answer?.words ?? [];
  if (!words.some(({ effect }) => effect !== null)) return [];
  const most = Math.max(0.1, ...words.map(({ effect }) => Math.abs(effect ?? 0)));
  const spans = words.flatMap(({ text, effect }) => {
    const span = make("span", { class: effect === null ? "quiet" : null, title: effect === null ? "not read by the model" : effectOn(answer.overall.name, effect) }, text);
    shade(span, effect, most);
    return [span, " "];
  });
  return [make("p", { class: "shaded" }, ...spans),
    make("p", { class: "quiet small" }, `Blue words make “${answer.overall.name}” more probable, red words less.`)];
}

export function effectOn(name, effect) {
  return `the probability of “${name}” minus what it would be without it: ${signed(effect)}`;
}

/** Colour a word by its effect, as a share of the largest. */
export function shade(span, effect, most) {
  const strength = Math.abs(effect ?? 0) / most;
  if (strength > 0.05) span.style.backgroundColor = `rgba(var(--${effect < 0 ? "lower" : "raise"}), ${(0.55 * strength).toFixed(2)})`;
}

function explain(target, only) {
  if (target.level === null) return "The model was not calibrated for it, so there is no set and no interval.";
  const percent = `${Math.round(100 * target.level)} %`;
  if (target.kind === "class") return `${only ? "Solid bars" : "Framed"}: classes that cannot be ruled out. In ${percent} of clips like those of validation the annotated class is among them; where the model cannot tell, that is all of them.`;
  if (target.kind === "labels") return `${only ? "Solid bars" : "Framed"}: labels that are there or may be. Each label is right in ${percent} of clips like those of validation.`;
  return only ? `${percent} prediction interval, calibrated on validation clips.` : `The list of utterances has the ${percent} prediction interval of each.`;
}

function bars(target, answer) {
  const numbers = numbersOf(target, answer.overall);
  const names = target.kind === "class" ? ranked(numbers).map(([name]) => name).slice(0, MOST_SHOWN) : largest(target, numbers);
  const open = openOf(answer.overall);
  const present = MODALITIES.filter((m) => answer.unimodal[m]);
  const there = present.length > 1 ? present : []; // a lone modality is the overall answer
  const own = Object.fromEntries(there.map((m) => [m, numbersOf(target, answer.unimodal[m])]));
  const at = place(target);
  const rows = names.flatMap((name) => {
    const level = target.scale ? (answer.overall.levels?.[name] ?? answer.overall) : null;
    const state = open === null || open.has(name) ? "open" : "closed";
    const label = `${name}: ${level ? levelOf(target, level) : number(numbers[name])}${open === null ? "" : open.has(name) ? ", cannot be ruled out" : ", ruled out"}${there.map((m) => `; ${NAMES[m].toLowerCase()} alone ${number(own[m][name])}`).join("")}`;
    return [
      make("b", {}, name),
      make("span", {}, level ? levelOf(target, level) : number(numbers[name])),
      draw("svg", { class: "rail-of fusion", role: "img", "aria-label": label },
        draw("line", { class: "rail", x1: at(at.low), x2: at(at.high), y1: 12, y2: 12 }),
        ...(level ? span(level, at) : [draw("line", { class: `bar ${state}`, x1: at(0), x2: at(numbers[name]), y1: 12, y2: 12 })]),
        ...there.map((m) => draw("circle", { class: m, cx: at(own[m][name]), cy: 12, r: 4 }, draw("title", {}, `${NAMES[m]} alone: ${number(own[m][name])}`)))),
    ];
  });
  const left = Object.keys(numbers).length - names.length;
  return make("div", {}, make("div", { class: "apart" }, ...rows),
    left > 0 ? make("p", { class: "quiet small" }, `${left} classes with smaller values are not drawn.`) : null,
    there.length ? make("ul", { class: "small keys" }, ...there.map((m) => make("li", { class: m }, make("b", {}, "● ", NAMES[m], " alone"), ` ${fullWordsOf(target, answer.unimodal[m])}`))) : null);
}

/** Means, and a strip with a column for each utterance; what moves its playhead joins the others. */
function over(prediction, target, seek, strips) {
  const means = prediction.target_means[target.name];
  const names = largest(target, means);
  const { low, high } = ends(target);
  const timed = prediction.answers.every((one) => one.start !== null);
  const span = timed ? Math.max(prediction.seconds ?? 0, ...prediction.answers.map((one) => one.end)) : prediction.answers.length;
  const cells = prediction.answers.flatMap((one, i) => {
    if (!one.targets?.[target.name]) return [];
    const value = one.targets[target.name].overall;
    const numbers = numbersOf(target, value);
    const open = openOf(value);
    const [from, to] = timed ? [one.start, one.end] : [i, i + 1];
    return names.map((name, row) => draw("rect", {
      class: open?.has(name) ? "cell open" : "cell", x: `${(100 * from) / span}%`, width: `${Math.max((100 * (to - from)) / span - 0.15, 0.1)}%`, y: row * CELL + 1, height: CELL - 2,
      "fill-opacity": (0.04 + (0.92 * (numbers[name] - low)) / (high - low)).toFixed(3), onclick: timed ? () => seek(one.start) : null,
    }, draw("title", {}, `${timed ? `${clock(one.start)} ` : ""}${name} ${number(numbers[name])}; ${wordsOf(target, value)}`)));
  });
  const bottom = names.length * CELL;
  const playhead = timed ? draw("line", { class: "playhead", x1: 0, x2: 0, y1: 0, y2: bottom }) : null;
  if (playhead) strips.push((seconds) => { for (const end of ["x1", "x2"]) playhead.setAttribute(end, `${(100 * seconds) / span}%`); });
  const strip = draw("svg", { class: timed ? "strip timed" : "strip", role: "img", height: bottom + (timed ? AXIS : 0), "aria-label": `${target.name} over time; the list of utterances has its numbers` },
    draw("rect", { class: "track", width: "100%", height: bottom, rx: 4 }), ...cells, ...(timed ? ticks(span, bottom) : []), playhead);
  const labels = make("div", { class: "labels" }, ...names.map((name) => make("span", {}, make("b", {}, name), ` ${number(means[name])}`)));
  const left = Object.keys(means).length - names.length;
  return [make("div", { class: "strips" }, labels, strip), make("p", { class: "quiet small" },
    `Numbers: means over the ${timed ? "utterances" : "parts"}, weighted by length; the stronger the shade of a cell, the larger. ${timed ? "Click a cell to go there. " : ""}${left > 0 ? `${left} classes with smaller means are not drawn. ` : ""}Means have no sets and intervals: these hold for single clips.`)];
}

function ticks(span, y) {
  const step = niceStep(span, MOST_TICKS);
  return Array.from({ length: Math.floor(span / step + 1e-6) + 1 }, (_, i) => i * step).map((t) => {
    const share = t / span;
    return draw("text", { x: `${100 * share}%`, y: y + 14, "text-anchor": share < 0.03 ? "start" : share > 0.95 ? "end" : "middle" }, clock(t, step < 1 ? 1 : 0));
  });
}

function numbersOf(target, value) {
  if (value.kind === "score") return { [target.name]: value.value };
  if (value.kind === "intensities") return Object.fromEntries(Object.entries(value.levels).map(([name, level]) => [name, level.value]));
  return value.probabilities;
}

function ranked(numbers) {
  return Object.entries(numbers).sort((a, b) => b[1] - a[1]);
}

/** The classes with the largest values, as they come in the target. */
function largest(target, numbers) {
  const chosen = new Set(ranked(numbers).slice(0, MOST_SHOWN).map(([name]) => name));
  return (target.classes.length ? target.classes : [target.name]).filter((name) => chosen.has(name));
}

/** The classes that cannot be ruled out; null where that is not known. */
function openOf(value) {
  return value.possible ? new Set([...value.possible, ...(value.certain ?? [])]) : null;
}

function levelOf(target, { value, low, high }) {
  if (low === null) return number(value);
  const isOpen = low === target.scale[0] && high === target.scale[1];
  return `${number(value)} (${number(low)} to ${number(high)}${isOpen ? ": cannot tell" : ""})`;
}

/** What a level is of: the set of classes, or each label. */
function levelOfSet(target) {
  const percent = `${Math.round(100 * target.level)} %`;
  return target.kind === "class" ? `${percent} set` : `each right in ${percent}`;
}

function span(level, at) {
  const interval = level.low === null ? [] : [draw("line", { class: "span", x1: at(level.low), x2: at(level.high), y1: 12, y2: 12 })];
  return [...interval, draw("circle", { cx: at(level.value), cy: 12, r: 8 })];
}

function ends(target) {
  const [low, high] = target.scale ?? [0, 1];
  return { low, high };
}

function place(target) {
  const { low, high } = ends(target);
  return Object.assign((v) => `${EDGE + ((100 - 2 * EDGE) * (v - low)) / (high - low)}%`, { low, high });
}

function number(value) {
  return value.toFixed(2).replace("-", "−");
}
