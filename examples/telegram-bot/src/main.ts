// Start the bot. TG_TOKEN is from @BotFather; without one you talk to the bot here, through a double of Telegram.
// IDENTITY_SERVICE is where the identity service answers.
import { createInterface } from "node:readline";
import { LOCAL_URL } from "../../shared/identity.js";
import { createBot, type Settings } from "./bot.js";
import { telegramDouble } from "./double.js";

const settings: Omit<Settings, "token"> = {
  identityUrl: process.env.IDENTITY_SERVICE || LOCAL_URL,
  createBet: async (identity, text) => console.log("bet", identity, text), // your sports-book core here
};

/** Serve Telegram's users until SIGTERM or Ctrl-C. */
async function serve(token: string): Promise<void> {
  const bot = createBot({ ...settings, token });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => bot.stop());
  await bot.start({ onStart: ({ username }) => console.log(`@${username} answers /bet.`) });
}

/** Serve the one who types here, until the end of the input: each line is a message of user 4711. */
async function practise(): Promise<void> {
  const telegram = await telegramDouble("123:practice");
  const bot = createBot({ ...settings, token: "123:practice", client: { apiRoot: telegram.apiRoot } });
  const polling = bot.start();
  console.log("TG_TOKEN is not set: this is a double of Telegram. Type /bet 10 on red; Ctrl-D ends.");
  for await (const line of createInterface({ input: process.stdin })) {
    if (/^\/bet\b/.test(line)) console.log((await telegram.write(4711, line)).text);
    else console.log("The bot knows /bet only.");
  }
  await bot.stop();
  await polling;
  telegram.close();
}

await (process.env.TG_TOKEN ? serve(process.env.TG_TOKEN) : practise());
