// The Telegram bot: /bet makes a bet under the disposable identity of the user.
import { Bot, type ApiClientOptions } from "grammy";
import { fetchIdentity, IdentityServiceError } from "../../shared/identity.js";

export interface Settings {
  token: string;
  identityUrl: string;
  createBet(identity: string, text: string): Promise<unknown>;
  client?: ApiClientOptions;
}

export function createBot({ token, identityUrl, createBet, client }: Settings): Bot {
  const bot = new Bot(token, { client });

  bot.command("bet", async (ctx) => {
    const userId = ctx.from?.id.toString();
    if (userId === undefined) return; // a post of a channel is from nobody
    try {
      // Get disposable identity
      const identity = await fetchIdentity(identityUrl, "tg", userId, { token: process.env.IDENTITY_TOKEN });
      // Create bet with identity
      await createBet(identity.id, ctx.match);
      await ctx.reply(
        `🎲 Bet accepted!\n` +
          `ID: \`${identity.id}\`\n` +
          `Expires: ${new Date(identity.expires).toLocaleString("en-GB", { timeZone: "UTC" })} UTC`,
        { parse_mode: "Markdown" }, // in backticks the identity needs no escaping: its grammar has none
      );
    } catch (error) {
      if (!(error instanceof IdentityServiceError)) throw error;
      const when = error.retryAfter === undefined ? "in a moment" : `in ${error.retryAfter} seconds`;
      await ctx.reply(`No bet was made. Please try again ${when}.`);
    }
  });

  return bot;
}
