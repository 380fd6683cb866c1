// What does Node's fetch get from the base URL given as the argument? Prints a summary as JSON.

const base = process.argv[2];
const mine = { headers: { Authorization: "Bearer mine" } };

async function text(path, options = mine) {
  const answer = await fetch(base + path, options);
  return [answer, await answer.text()];
}

const summary = {};
let [answer, body] = await text("/hello");
summary.get = { status: answer.status, body };

[answer, body] = await text("/echo?q=a%20b&q=%2F");
summary.query = { status: answer.status, body };

[answer, body] = await text("/echo", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ name: "caf\u00e9", n: 1 }),
});
summary.post = { status: answer.status, body };

[answer, body] = await text("/missing");
summary.error = {
  status: answer.status,
  type: answer.headers.get("content-type"),
  code: JSON.parse(body).code,
  header: answer.headers.get("leeward-error"),
};

[answer, body] = await text("/flaky");
summary.retried = { status: answer.status, body, attempts: answer.headers.get("leeward-attempts") };

const stream = await fetch(base + "/stream");
let seen = "";
let released = false;
const decoder = new TextDecoder();
for await (const piece of stream.body) {
  seen += decoder.decode(piece, { stream: true });
  if (!released && seen.includes("one")) {
    released = true;
    await text("/release");
  }
}
summary.stream = seen.split("\n").filter((l) => l.startsWith("data: ")).map((l) => l.slice(6));

const many = await Promise.all(Array.from({ length: 40 }, () => text("/popular")));
summary.many = {
  count: many.length,
  statuses: [...new Set(many.map(([a]) => a.status))],
  bodies: [...new Set(many.map(([, b]) => b))],
};

[answer, body] = await text("/limited");
summary.limited = {
  status: answer.status,
  code: JSON.parse(body).code,
  retry_after: answer.headers.get("retry-after"),
};

console.log(JSON.stringify(summary));
