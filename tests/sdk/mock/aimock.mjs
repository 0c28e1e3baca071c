// Starts aimock, an LLM server that is not ours, with the answers that the tests beside this expect, on a port of loopback. Prints its
// URL as a line of JSON; runs until its standard input is closed.
//
// usage: node aimock.mjs DIRECTORY     where aimock is installed: the directory that has node_modules

import { createRequire } from "node:module";
import { join } from "node:path";

const aimock = createRequire(join(process.argv[2], "none.js"))("@copilotkit/aimock");
const { LLMock, encodeEventStreamMessage } = aimock;

// Small chunks, so that streams are streams.
const mock = new LLMock({ host: "127.0.0.1", port: 0, chunkSize: 5, logLevel: "warn" });
const usage = (input, output) => ({ prompt_tokens: input, completion_tokens: output, total_tokens: input + output });

mock.onMessage("pelican", { content: "Hello, you who asks of the pelican.", usage: usage(1234, 56), created: 1760000000 });
mock.onMessage("think", { content: "Forty-two.", reasoning: "Six by nine?", usage: usage(77, 88), created: 1760000000 });
mock.onMessage("weather", {
  toolCalls: [{ name: "get_weather", arguments: { city: "Bern" }, id: "call_weather" }],
  usage: usage(310, 41), created: 1760000000,
});
for (const [words, status] of [["be unwell", 500], ["be strict", 400], ["be busy", 429]]) {
  mock.onMessage(words, { error: { message: "as told", type: "told", code: "told" }, status, retryAfter: 1 });
}
mock.onEmbedding("pelican", { embedding: [0.25, -0.5, 1] });
mock.onImage("pelican", { image: { b64Json: Buffer.from("no picture").toString("base64") } });
mock.onSpeech("pelican", { audio: Buffer.from("no sound").toString("base64"), format: "mp3" });
mock.onTranscription({ transcription: { text: "the pelican", usage: { type: "tokens", input_tokens: 14, output_tokens: 45, total_tokens: 59,
  input_token_details: { text_tokens: 0, audio_tokens: 14 } } } });
mock.onRerank("pelican", [{ index: 0, relevance_score: 0.75 }]);

// aimock frames AWS's event streams rightly, but its payloads are not what boto3 reads. These are, as the service's model has them.
const frames = (...payloads) => Buffer.concat(payloads.map(([kind, payload]) => encodeEventStreamMessage(kind, payload)));
const wrapped = (payload) => ["chunk", { bytes: Buffer.from(JSON.stringify(payload)).toString("base64") }];
const converse = frames(
  ["messageStart", { role: "assistant" }],
  ["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Hello, " } }],
  ["contentBlockDelta", { contentBlockIndex: 0, delta: { text: "pelican." } }],
  ["contentBlockStop", { contentBlockIndex: 0 }],
  ["messageStop", { stopReason: "end_turn" }],
  ["metadata", { usage: { inputTokens: 200, outputTokens: 30, totalTokens: 1230, cacheReadInputTokens: 1000 }, metrics: { latencyMs: 321 } }],
);
const invoke = frames(
  wrapped({ type: "message_start", message: { id: "msg_1", type: "message", role: "assistant", model: "claude-framed", content: [],
    usage: { input_tokens: 200, cache_read_input_tokens: 1000, cache_creation_input_tokens: 0, output_tokens: 1 } } }),
  wrapped({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
  wrapped({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello, pelican." } }),
  wrapped({ type: "content_block_stop", index: 0 }),
  wrapped({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 30 } }),
  wrapped({ type: "message_stop", "amazon-bedrock-invocationMetrics": { inputTokenCount: 200, outputTokenCount: 30,
    cacheReadInputTokenCount: 1000, invocationLatency: 321, firstByteLatency: 123 } }),
);
mock.mount("/model/anthropic.claude-framed", {
  async handleRequest(request, reply) {
    for await (const _ of request);
    const body = request.url.endsWith("/converse-stream") ? converse : invoke;
    reply.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" });
    // Cut where no frame ends.
    for (let at = 0; at < body.length; at += 97) {
      reply.write(body.subarray(at, at + 97));
      await new Promise((done) => setTimeout(done, 1));
    }
    reply.end();
    return true;
  },
});

await mock.start();
console.log(JSON.stringify({ url: mock.url }));
process.stdin.on("end", () => process.exit(0)).resume();
