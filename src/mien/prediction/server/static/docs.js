// The OpenAPI description of this server, as a page that loads nothing from elsewhere.
import { make } from "./parts.js";

const api = await (await fetch("/openapi.json")).json();
document.getElementById("summary").textContent = api.info.summary;
const place = document.getElementById("operations");
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) place.append(describe(path, method, operation));
}
place.append(make("section", { class: "card operation" }, make("h2", {}, "Values"), ...Object.entries(api.components.schemas).map(([name, schema]) =>
  make("details", {}, make("summary", {}, make("code", {}, name)), make("pre", {}, JSON.stringify(schema, null, 2))))));

function describe(path, method, operation) {
  const given = (operation.parameters ?? []).map((one) => row(one.name, `${one.in}: ${one.description ?? ""}`));
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  const fields = bodies.flatMap(([type, { schema }]) => Object.entries(resolve(schema).properties ?? {}).map(([name, one]) => row(name, `${type}: ${one.description ?? one.type ?? ""}`)));
  const answers = Object.entries(operation.responses).map(([status, one]) => row(status, `${one.description}${nameOf(one)}`));
  return make("section", { class: "card operation" },
    make("h2", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path)),
    make("p", {}, operation.description ?? operation.summary ?? ""),
    given.length + fields.length ? make("h3", {}, "Given") : null,
    given.length + fields.length ? make("table", {}, ...given, ...fields) : null,
    make("h3", {}, "Answered"), make("table", {}, ...answers), make("pre", {}, example(path, method, bodies)));
}

function row(name, text) {
  return make("tr", {}, make("td", {}, make("code", {}, name)), make("td", {}, text));
}

function resolve(schema) {
  return schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function nameOf(response) {
  const ref = response.content?.["application/json"]?.schema?.$ref;
  return ref ? ` → ${ref.split("/").pop()}` : "";
}

function example(path, method, bodies) {
  const address = location.origin + path;
  if (method === "get") return `curl ${address}`;
  if (bodies[0]?.[0] === "multipart/form-data") return `curl -F file=@clip.mp4 -F transcript=auto ${address}`;
  return `curl -H "Content-Type: application/json" -d '{"text": "I liked it."}' ${address}`;
}
