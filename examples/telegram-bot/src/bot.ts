// The Telegram bot: /bet makes a bet under the disposable identity of the user.
import { Bot, type ApiClientOptions, type Context } from "grammy";
import { fetchIdentity, IdentityServiceError, type Identity } from "../../shared/identity.js";

export interface Settings {
  token: string;
  identityUrl: string;
  createBet(identity: string, text: string): Promise<unknown>;
  client?: ApiClientOptions;
  /** Where unexpected errors go; the console by default. */
  report?(text: string, error: unknown): void;
}

/**
 * The id of the person who wrote, or undefined.
 *
 * Messages of anonymous group admins, of channels and of people who write as a channel all come `from` accounts that
 * Telegram has for the purpose, one for each kind: an identity of that id would be shared by all of them.
 */
export function personOf(ctx: Context): string | undefined {
  if (ctx.msg?.sender_chat !== undefined || ctx.from === undefined || ctx.from.is_bot) return undefined;
  return ctx.from.id.toString();
}

/** What the user is told where there is no identity. */
function refusal(error: IdentityServiceError): string {
  const when = error.retryAfter === undefined ? "in a moment" : `in ${error.retryAfter} seconds`;
  return `No bet was made. Please try again ${when}.`;
}

export function createBot({ token, identityUrl, createBet, client, report = console.error }: Settings): Bot {
  const bot = new Bot(token, { client });

  bot.command("bet", async (ctx) => {
    if (ctx.chat.type === "channel") return; // a post of a channel is from nobody
    const userId = personOf(ctx);
    if (userId === undefined) {
      await ctx.reply("No bet was made. Please write under your own name: anonymous admins and channels can't bet.");
      return;
    }
    let identity: Identity;
    try {
      // Get disposable identity
      identity = await fetchIdentity(identityUrl, "tg", userId, { token: process.env.IDENTITY_TOKEN });
    } catch (error) {
      if (!(error instanceof IdentityServiceError)) throw error;
      await ctx.reply(refusal(error));
      return;
    }
    // Create bet with identity
    await createBet(identity.id, ctx.match);
    await ctx.reply(
      `🎲 Bet accepted!\n` +
        `ID: \`${identity.id}\`\n` +
        `Expires: ${new Date(identity.expires).toLocaleString("en-GB", { timeZone: "UTC" })} UTC`,
      { parse_mode: "Markdown" }, // in backticks the identity needs no escaping: its grammar has none
    );
  });

  // Without this an error ends the bot for everybody. The bet may have been made before it: so it is not denied.
  bot.catch(async ({ ctx, error }) => {
    report(`update ${ctx.update.update_id} has failed:`, error);
    const words = "Something went wrong. Please look at your bets before you try again.";
    await ctx.reply(words).catch((fault) => report("and the user could not be told:", fault));
  });

  return bot;
}
