// Start the bot: TG_TOKEN is from @BotFather, IDENTITY_SERVICE is where the identity service answers.
import { createBot } from "./bot.js";

const token = process.env.TG_TOKEN;
if (!token) throw new Error("TG_TOKEN must be set.");

const bot = createBot({
  token,
  identityUrl: process.env.IDENTITY_SERVICE || "http://identity-service",
  createBet: async (identity, text) => console.log("bet", identity, text), // your sports-book core here
});
process.once("SIGTERM", () => bot.stop());
await bot.start();
