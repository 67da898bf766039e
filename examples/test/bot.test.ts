import { afterEach, expect, test } from "vitest";
import { createBot } from "../telegram-bot/src/bot.js";
import { telegramDouble } from "../telegram-bot/src/double.js";
import { EXHAUSTED, expectActive, NOWHERE, SERVICE } from "./service.js";


const TOKEN = "123:abc";
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A bot that polls, with a book of its bets. */
async function started(identityUrl: string, refuse: (text: string) => void = () => {}) {
  const telegram = await telegramDouble(TOKEN);
  const bets: { identity: string; text: string }[] = [];
  const reports: string[] = [];
  const createBet = async (identity: string, text: string) => {
    refuse(text);
    bets.push({ identity, text });
  };
  const report = (text: string, error: unknown) => reports.push(`${text} ${error}`);
  const bot = createBot({ token: TOKEN, identityUrl, createBet, report, client: { apiRoot: telegram.apiRoot } });
  const polling = bot.start();
  ends.push(
    () => bot.stop(),
    () => polling,
    () => telegram.close(),
  );
  return { telegram, bets, reports };
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

const GROUP = { id: -100, type: "supergroup", title: "Punters" };
const ANONYMOUS_ADMIN = { id: 1087968824, is_bot: true, first_name: "Group", username: "GroupAnonymousBot" };
const AS_CHANNEL = { id: 136817688, is_bot: true, first_name: "Channel", username: "Channel_Bot" };
const LINKED_CHANNEL = { id: 777000, is_bot: false, first_name: "Telegram" };

test.each([
  ["an anonymous admin", { chat: GROUP, sender_chat: GROUP, from: ANONYMOUS_ADMIN }],
  ["somebody who writes as a channel", { chat: GROUP, sender_chat: { id: -200, type: "channel" }, from: AS_CHANNEL }],
  ["a post of the linked channel", { chat: GROUP, sender_chat: { id: -200, type: "channel" }, from: LINKED_CHANNEL }],
  ["another bot", { chat: GROUP, from: { id: 5, is_bot: true, first_name: "B" } }],
])("%s, who shares an account with others, gets no identity", async (_, extra) => {
  const { telegram, bets } = await started(SERVICE);
  const reply = await telegram.write(4711, "/bet 10", extra);
  expect(reply).toMatchObject({ chat_id: GROUP.id, text: expect.stringMatching(/^No bet was made\..*your own name/) });
  expect(bets).toEqual([]);
});

test("a member of a group has the same identity as in private", async () => {
  const { telegram, bets } = await started(SERVICE);
  await telegram.write(4711, "/bet 10", { chat: GROUP });
  expect(bets).toEqual([{ identity: "tg-4711@sports.api.yourbook.com/v1:id", text: "10" }]);
});

test("a bet that fails is reported, the user is told, and the bot goes on", async () => {
  const { telegram, bets, reports } = await started(SERVICE, (text) => {
    if (text === "10") throw new Error("the book is closed");
  });
  expect((await telegram.write(4711, "/bet 10")).text).toMatch(/^Something went wrong\. .*your bets/);
  expect(reports).toEqual([expect.stringMatching(/^update \d+ has failed: Error: the book is closed$/)]);
  expect((await telegram.write(4711, "/bet 20")).text).toMatch(/^🎲 Bet accepted!/u);
  expect(bets).toHaveLength(1);
});
