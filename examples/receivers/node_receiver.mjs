#!/usr/bin/env node
// Answers 204 to a webhook whose signature holds and 401 to any other: npm install standardwebhooks.
//
// WEBHOOK_SECRET is the secret, `whsec_…`; PORT is where it listens on 127.0.0.1, any free one by default.
// It prints where that is, then the id of each webhook that it has accepted.
import { createServer } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const BODY_BYTES_MAX = 1024 * 1024;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

async function receive(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) return 413;
    parts.push(part);
  }
  const body = Buffer.concat(parts).toString(); // as it came: JSON that is written anew signs differently
  try {
    webhook.verify(body, request.headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return 401;
    throw error;
  }
  // An attempt may be repeated: the id stays the same, so whoever remembers it does the work once.
  console.log(request.headers["webhook-id"]);
  return 204;
}

const server = createServer(async (request, response) => {
  const status = await receive(request).catch(() => 400);
  response.writeHead(status, status === 413 ? { connection: "close" } : {}).end();
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
