// What do the SDKs of OpenAI, Stripe and GitHub make of the answers behind the base URL given as the
// first argument? Each is given nothing but that. Prints a summary as JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages stand in the folder of the second argument.
const { resolve } = createRequire(pathToFileURL(`${process.argv[3]}/package.json`));
const load = (name) => import(pathToFileURL(resolve(name)).href);
const base = process.argv[2];
const { default: OpenAI } = await load("openai");
const { default: Stripe } = await load("stripe");
const { Octokit } = await import(
  pathToFileURL(`${process.argv[3]}/node_modules/@octokit/rest/dist-src/index.js`).href
);

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return new Error("no failure");
}

const summary = { openai: {}, stripe: {}, github: {} };

const openai = (name) => new OpenAI({ baseURL: `${base}/${name}`, apiKey: "unused" });
const ask = (client, more = {}) =>
  client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello" }], ...more });
summary.openai.call = (await ask(openai("openai"))).choices[0].message.content;
const stream = await ask(openai("openai"), { stream: true, model: "stream" });
const got = [];
const broken = await failure(async () => {
  for await (const piece of stream) got.push(piece.choices[0].delta.content);
});
summary.openai.stream = { got, kind: broken.constructor.name, code: broken.code ?? null };
const file = new File(["line\n".repeat(40000)], "a.jsonl");
summary.openai.upload = (await openai("openai").files.create({ file, purpose: "batch" })).bytes;
summary.openai.failures = [];
for (const status of [400, 401, 403, 404, 409, 422, 429, 500]) {
  const error = await failure(() => openai("openai").models.retrieve(`m${status}`));
  summary.openai.failures.push([status, error.constructor.name, error.status, error.code]);
}
const quota = await failure(() => openai("openai").models.retrieve("quota"));
summary.openai.quota = [quota.constructor.name, quota.code];
const gone = await failure(() => openai("gone").models.list());
summary.openai.ours = [gone.constructor.name, gone.status, gone.code];
for (let call = 0; call < 10; call++) await failure(() => openai("dear").models.list());

// It takes a host and a port and no path, so its upstream stands at the prefix /.
const { hostname: host, port } = new URL(base);
const stripe = new Stripe("sk_unused", { host, port, protocol: "http" });
summary.stripe.call = (await stripe.customers.create({ email: "a@example.com" })).id;
const upload = { purpose: "dispute_evidence", file: { data: Buffer.from("line\n".repeat(40000)), name: "a.txt" } };
summary.stripe.upload = (await stripe.files.create(upload, { apiBase: "api" })).size;
summary.stripe.failures = [];
for (const status of [400, 401, 402, 403, 404, 409, 429, 500]) {
  const error = await failure(() => stripe.customers.retrieve(`c${status}`));
  summary.stripe.failures.push([status, error.type, error.statusCode]);
}

const octokit = (name) => new Octokit({ baseUrl: `${base}/${name}`, auth: "unused", log: { debug() {}, info() {}, warn() {}, error() {} } });
summary.github.call = (await octokit("github").rest.users.getByUsername({ username: "octocat" })).data.name;
summary.github.failures = [];
for (const name of ["m401", "m403", "m404", "m422", "m500", "limited"]) {
  const error = await failure(() => octokit("github").rest.users.getByUsername({ username: name }));
  summary.github.failures.push([name, error.name, error.status, error.response?.headers["leeward-error"]]);
}
const away = await failure(() => octokit("away").rest.users.getByUsername({ username: "octocat" }));
for (let call = 0; call < 10; call++) await failure(() => octokit("rare").rest.meta.getZen());
summary.github.ours = [away.name, away.status, away.response.data.message !== undefined];

process.stdout.write(JSON.stringify(summary));
