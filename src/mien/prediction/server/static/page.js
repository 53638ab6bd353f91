// The page: takes a recording or a sentence, says what happens, shows the answer or the reason.
import { Refusal, Request } from "./asking.js";
import { Camera } from "./camera.js";
import { clock, duration } from "./parts.js";
import { closeResult, showResult } from "./result.js";

const $ = (id) => document.getElementById(id);
const REFUSALS = {
  NotFoundError: "no camera with a microphone was found",
  NotAllowedError: "the browser may not use the camera and the microphone",
  NotReadableError: "another program uses the camera or the microphone",
};
let request = null;
let again = null;
let camera = null;
let timer = 0;
let limits = null;
let loaded = null;
let origin = null;

async function ask(path, body, type, media) {
  request?.cancel();
  origin = document.activeElement;
  $("error").hidden = true;
  closeResult($("result"));
  again = () => ask(path, body, type, media);
  const since = performance.now();
  const mine = new Request(path, body, type, (progress) => request === mine && say(progress));
  request = mine;
  $("wait").hidden = false;
  clearInterval(timer);
  timer = setInterval(() => { $("elapsed").textContent = `${clock((performance.now() - since) / 1000)} so far`; }, 500);
  $("elapsed").textContent = "";
  say({ stage: "uploading", share: 0 });
  try {
    const prediction = await mine.answer;
    if (request !== mine) return;
    showResult($("result"), prediction, { media, ticket: mine.ticket, loaded });
    $("result").querySelector(".head-card").focus({ preventScroll: true });
    $("result").scrollIntoView({ block: "start" });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (request === mine && error.message) complain(error.message, { isFinal: error.isFinal, isAnswer: true });
  } finally {
    if (request === mine) {
      request = null;
      clearInterval(timer);
      const isLost = $("wait").contains(document.activeElement);
      $("wait").hidden = true;
      if (isLost) origin?.focus(); // after Cancel the focus goes back to where it was
    }
  }
}

function say(progress) {
  const bar = $("bar");
  const { stage, share, before, advance } = progress;
  if (stage === "uploading") bar.value = share;
  else bar.removeAttribute("value");
  if (stage === "uploading") $("doing").textContent = `Uploading, ${Math.round(100 * share)} %`;
  else if (stage === "arriving") $("doing").textContent = "Uploading";
  else if (stage === "waiting") $("doing").textContent = before ? `Waiting: ${before} before this one` : "Waiting for the model to load";
  else $("doing").textContent = describe(advance, bar);
}

function describe(advance, bar) {
  if (advance?.utterances) {
    bar.value = advance.answered / advance.utterances;
    return `Predicting utterance ${Math.min(advance.answered + 1, advance.utterances)} of ${advance.utterances}`;
  }
  return advance?.heard ? `Listening: ${clock(advance.heard)} heard` : "Predicting";
}

/** Show what went wrong, in the server's words: a sentence may begin with the name of a file. */
function complain(sentence, { title = "No answer", isFinal = false, isAnswer = false } = {}) {
  $("title-of-error").textContent = title;
  $("sentence-of-error").textContent = sentence;
  $("again").hidden = isFinal;
  $("error").hidden = false;
  $("error").scrollIntoView({ block: "nearest" });
  if (isAnswer) $("error").focus({ preventScroll: true });
}

/** Predict one of the files that were chosen or dropped, if there is one only. */
function predictFiles(files) {
  if (files.length === 1) predictFile(files[0]);
  else if (files.length) refuse(`One recording at a time: ${files.length} files were given. For many, use mien predict.`);
}

function refuse(sentence) {
  again = null;
  complain(sentence, { isFinal: true });
}

function predictFile(file) {
  if (limits && file.size > limits.max_upload_mb * 1e6) {
    // rounded upwards to a thousandth, so that what is above the limit never reads like the limit
    refuse(`${file.name} has ${Math.ceil(file.size / 1e3) / 1e3} MB; the limit is ${limits.max_upload_mb} MB.`);
    return;
  }
  const form = new FormData();
  const chosen = document.querySelector("input[name=transcript]:checked").value;
  const words = $("words").value.trim();
  if (chosen === "given" && !words) {
    $("no-words").textContent = "Please type the words first, or choose another way; then give the recording again.";
    $("words").closest("details").open = true;
    $("words").focus();
    return;
  }
  form.append("transcript", chosen === "given" ? words : chosen);
  form.append("file", file, file.name);
  ask("/predict", form, null, file);
}

function predictSentence() {
  const text = $("sentence").value;
  $("empty").textContent = text.trim() ? "" : "Please type a sentence first.";
  if (text.trim()) ask("/predict/text", JSON.stringify({ text }), "application/json", null);
  else $("sentence").focus();
}

/** Say beside the folded choice what is chosen. */
function sayChosen() {
  const choice = document.querySelector("input[name=transcript]:checked");
  $("no-words").textContent = "";
  $("chosen").textContent = choice.parentElement.textContent.trim().replace(/:$/, "");
}

function listen() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    predictFiles([...$("file").files]);
    $("file").value = "";
  });
  const drop = $("drop");
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", (event) => drop.contains(event.relatedTarget) || drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    predictFiles([...event.dataTransfer.files]);
  });
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  $("say").addEventListener("submit", (event) => {
    event.preventDefault();
    predictSentence();
  });
  $("sentence").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    if (!event.repeat) predictSentence();
  });
  $("sentence").addEventListener("input", () => { $("empty").textContent = ""; });
  $("words").addEventListener("input", () => { document.querySelector("input[value=given]").checked = true; sayChosen(); });
  for (const choice of document.querySelectorAll("input[name=transcript]")) choice.addEventListener("change", sayChosen);
  sayChosen(); // a browser may restore the choice of before
  $("cancel").addEventListener("click", () => request?.cancel());
  $("again").addEventListener("click", () => again?.());
}

function listenToCamera() {
  if (!Camera.isThere) {
    $("record").disabled = true;
    $("record").title = "this browser gives no camera to this address; use http://localhost or https";
    return;
  }
  let ticking = 0;
  const close = () => {
    clearInterval(ticking);
    camera = null;
    $("camera").hidden = true;
    $("drop").hidden = false;
  };
  $("record").addEventListener("click", async () => {
    try {
      camera = await Camera.open($("preview"));
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      again = null;
      const reason = REFUSALS[error.name] ?? error.message;
      complain(`${reason}; allow or connect both, or choose a file`, { title: "Nothing was recorded", isFinal: true });
      return;
    }
    $("drop").hidden = true;
    $("camera").hidden = false;
    $("recorded").textContent = clock(0);
    ticking = setInterval(() => { $("recorded").textContent = clock(camera.seconds); }, 250);
    $("stop").focus();
  });
  $("stop").addEventListener("click", async () => {
    const recording = camera;
    close();
    predictFile(await recording.stop());
  });
  $("discard").addEventListener("click", () => { camera.discard(); close(); });
}

/** Say how far the model is, as often as that changes. */
async function greet() {
  try {
    await meet();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // no network
    $("model").textContent = "The server cannot be reached";
    setTimeout(greet, 3000); // it may be started again
  }
}

async function meet() {
  const health = await (await fetch("/health")).json();
  limits = health;
  $("limits").textContent = `Up to ${health.max_upload_mb} MB, and up to ${duration(health.time_limit)} of computing`;
  if (health.state === "loading") {
    const seconds = Math.floor(health.loading_seconds);
    $("model").textContent = seconds < 3 ? "Loading the model…" : `Loading the model, ${clock(seconds)} so far`;
    setTimeout(greet, 700);
    return;
  }
  if (health.state === "failed") {
    if ($("model").textContent !== "No model") complain(health.detail, { title: "No model", isFinal: true });
    $("model").textContent = "No model";
    setTimeout(greet, 3000); // the next request loads it once more
    return;
  }
  loaded = await (await fetch("/model")).json();
  $("model").textContent = loaded.is_shipped ? "Model: the one that comes with mien" : `Model: ${loaded.model.name}`;
  if (!loaded.is_shipped) $("model").title = `Trained on ${loaded.model.corpus}`;
  $("model").classList.add("is-ready");
  const [first] = loaded.cards;
  $("card").hidden = !first;
  if (first) $("card").href = `/model-card/${first}`;
  $("what").textContent = describeTargets(loaded);
}

/** What the model tells: "Sentiment and emotion". */
function describeTargets({ scale, targets = [] }) {
  const names = [...(scale ? ["sentiment"] : []), ...targets.map((target) => target.name)];
  const all = new Intl.ListFormat("en").format(names);
  return all[0].toUpperCase() + all.slice(1);
}

listen();
listenToCamera();
greet();
