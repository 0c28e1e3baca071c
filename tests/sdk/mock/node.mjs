// Makes calls with npm's SDKs, as it is told. Reads lines of JSON, {"call", "url", "headers", "words", "retries"}, and answers each with
// one: {"seen", "input", "output"}, or {"error": {"name", "status", "message"}} if the SDK threw.
//
// usage: node node.mjs DIRECTORY     where the SDKs are installed: the directory that has node_modules

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.argv[2], "none.js"));
const load = (name) => require(name);
const key = "sk-secret-0123456789";
const GPT = "gpt-4o-mini";
const CLAUDE = "claude-sonnet-4-6";
const GEMINI = "gemini-2.5-flash";

async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

function openai({ url, headers, retries }) {
  const OpenAI = load("openai").OpenAI;
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: key, defaultHeaders: headers, maxRetries: retries });
}

function anthropic({ url, headers, retries }) {
  const Anthropic = load("@anthropic-ai/sdk").Anthropic;
  return new Anthropic({ baseURL: url, apiKey: key, defaultHeaders: headers, maxRetries: retries });
}

const vercel = {
  openai: ({ url, headers }) => load("@ai-sdk/openai").createOpenAI({ baseURL: `${url}/v1`, apiKey: key, headers }).chat(GPT),
  responses: ({ url, headers }) => load("@ai-sdk/openai").createOpenAI({ baseURL: `${url}/v1`, apiKey: key, headers }).responses(GPT),
  anthropic: ({ url, headers }) => load("@ai-sdk/anthropic").createAnthropic({ baseURL: `${url}/v1`, apiKey: key, headers })(CLAUDE),
  google: ({ url, headers }) => load("@ai-sdk/google").createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: key, headers })(GEMINI),
};

const messages = (words) => [{ role: "user", content: words }];

const calls = {
  "openai.chat": async (to) => {
    const seen = await openai(to).chat.completions.create({ model: GPT, messages: messages(to.words) });
    return { seen, input: seen.usage.prompt_tokens, output: seen.usage.completion_tokens };
  },
  "openai.stream": async (to) => {
    const stream = await openai(to).chat.completions.create({ model: GPT, messages: messages(to.words), stream: true });
    return { seen: await all(stream) };
  },
  "openai.stream_with_usage": async (to) => {
    const options = { stream: true, stream_options: { include_usage: true } };
    const seen = await all(await openai(to).chat.completions.create({ model: GPT, messages: messages(to.words), ...options }));
    const { usage } = seen.at(-1);
    return { seen, input: usage.prompt_tokens, output: usage.completion_tokens };
  },
  "openai.responses": async (to) => {
    const seen = await openai(to).responses.create({ model: GPT, input: to.words });
    return { seen, input: seen.usage.input_tokens, output: seen.usage.output_tokens };
  },
  "openai.responses_stream": async (to) => {
    const seen = await all(await openai(to).responses.create({ model: GPT, input: to.words, stream: true }));
    const { usage } = seen.at(-1).response;
    return { seen, input: usage.input_tokens, output: usage.output_tokens };
  },
  "openai.embeddings": async (to) => {
    return { seen: await openai(to).embeddings.create({ model: "text-embedding-3-small", input: to.words }) };
  },
  "anthropic.messages": async (to) => {
    const seen = await anthropic(to).messages.create({ model: CLAUDE, max_tokens: 200, messages: messages(to.words) });
    return { seen, input: seen.usage.input_tokens, output: seen.usage.output_tokens };
  },
  "anthropic.stream": async (to) => {
    const stream = anthropic(to).messages.stream({ model: CLAUDE, max_tokens: 200, messages: messages(to.words) });
    const seen = await all(stream);
    const { usage } = await stream.finalMessage();
    return { seen, input: usage.input_tokens, output: usage.output_tokens };
  },
  "google.generate": async (to) => {
    const seen = await gemini(to).models.generateContent({ model: GEMINI, contents: to.words });
    return { seen: seen.candidates, input: seen.usageMetadata.promptTokenCount, output: seen.usageMetadata.candidatesTokenCount };
  },
  "google.stream": async (to) => {
    const seen = await all(await gemini(to).models.generateContentStream({ model: GEMINI, contents: to.words }));
    const usage = seen.at(-1).usageMetadata;
    return { seen: seen.map((part) => part.candidates), input: usage.promptTokenCount, output: usage.candidatesTokenCount };
  },
};

function gemini({ url, headers }) {
  return new (load("@google/genai").GoogleGenAI)({ apiKey: key, httpOptions: { baseUrl: url, apiVersion: "v1beta", headers } });
}

for (const [name, model] of Object.entries(vercel)) {
  calls[`vercel.${name}.generate`] = async (to) => {
    const { text, finishReason, usage } = await load("ai").generateText({ model: model(to), prompt: to.words, maxRetries: to.retries });
    return { seen: { text, finishReason, usage }, input: usage.inputTokens, output: usage.outputTokens };
  };
  calls[`vercel.${name}.stream`] = async (to) => {
    let failed;
    const onError = ({ error }) => { failed = error; };
    const result = load("ai").streamText({ model: model(to), prompt: to.words, maxRetries: to.retries, onError });
    const seen = await all(result.textStream);
    if (failed) throw failed;
    const [finishReason, usage] = [await result.finishReason, await result.usage];
    return { seen: { text: seen, finishReason, usage }, input: usage.inputTokens, output: usage.outputTokens };
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const to = JSON.parse(line);
  let answer;
  try {
    answer = await calls[to.call](to);
  } catch (error) {
    // `ai` wraps the last of several tries.
    const { name, status, statusCode, message } = error.lastError ?? error;
    answer = { error: { class: (error.lastError ?? error).constructor.name, name, status: status ?? statusCode, message } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
