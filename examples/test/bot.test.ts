import { afterEach, expect, test } from "vitest";
import { createBot } from "../telegram-bot/src/bot.js";
import { EXHAUSTED, expectActive, NOWHERE, SERVICE } from "./service.js";
import { fakeTelegram } from "./telegram.js";

const TOKEN = "123:abc";
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A bot that polls, with a book of its bets. */
async function started(identityUrl: string) {
  const telegram = await fakeTelegram(TOKEN);
  const bets: { identity: string; text: string }[] = [];
  const createBet = async (identity: string, text: string) => void bets.push({ identity, text });
  const bot = createBot({ token: TOKEN, identityUrl, createBet, client: { apiRoot: telegram.apiRoot } });
  const polling = bot.start();
  ends.push(
    () => bot.stop(),
    () => polling,
    () => telegram.close(),
  );
  return { telegram, bets };
}

test("/bet makes a bet under an identity that the service vouches for, and tells it", async () => {
  const { telegram, bets } = await started(SERVICE);
  const reply = await telegram.write(4711, "/bet 10 on red");
  const identity = "tg-4711@sports.api.yourbook.com/v1:id";
  expect(bets).toEqual([{ identity, text: "10 on red" }]);
  expect(reply).toMatchObject({ chat_id: 4711, parse_mode: "Markdown" });
  expect(reply.text.split("\n")).toEqual([
    "🎲 Bet accepted!",
    `ID: \`${identity}\``,
    expect.stringMatching(/^Expires: \d\d\/\d\d\/\d{4}, \d\d:\d\d:\d\d UTC$/),
  ]);
  await expectActive(identity);
});

test.each([
  ["limits the bot", EXHAUSTED, /^No bet was made\. Please try again in \d+ seconds\.$/],
  ["is away", NOWHERE, /^No bet was made\. Please try again in a moment\.$/],
])("where the service %s the user is told and no bet is made", async (_, url, words) => {
  const { telegram, bets } = await started(url);
  expect((await telegram.write(4711, "/bet 10")).text).toMatch(words);
  expect(bets).toEqual([]);
});
