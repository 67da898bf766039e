// A double of Telegram's Bot API on the loopback: it hands out the updates that it is given and keeps what is sent.
// What is unreal about it: it knows three methods, one bot and no rules.
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface Message {
  chat_id: number;
  text: string;
  parse_mode?: string;
}

/** Members of the update's message beside its text, such as `sender_chat`. */
export type Extra = Record<string, unknown>;

export async function telegramDouble(token: string) {
  const updates: object[] = [];
  const sent: Message[] = [];
  let updateId = 0;
  let notifyUpdate = () => {};
  let notifySent = () => {};

  async function json(request: IncomingMessage): Promise<any> {
    let text = "";
    for await (const piece of request) text += piece;
    return text ? JSON.parse(text) : {};
  }

  /** The updates, as soon as there is one; a bot that asks with a time-out waits for it (long polling). */
  async function takeUpdates(timeoutS: number | undefined, closed: Promise<unknown>): Promise<object[]> {
    if (updates.length === 0 && timeoutS) {
      const arrived = new Promise<void>((resolve) => (notifyUpdate = resolve));
      await Promise.race([arrived, closed]);
    }
    return updates.splice(0);
  }

  const methods: Record<string, (body: any, closed: Promise<unknown>) => unknown> = {
    getMe: () => ({ id: 1, is_bot: true, first_name: "Bets", username: "bets_bot" }),
    deleteWebhook: () => true,
    getUpdates: (body, closed) => takeUpdates(body.timeout, closed),
    sendMessage: (body) => {
      sent.push(body);
      notifySent();
      return { message_id: sent.length, date: 0, chat: { id: body.chat_id, type: "private" }, text: body.text };
    },
  };

  const server = createServer(async (request, response) => {
    const name = request.url?.startsWith(`/bot${token}/`) ? request.url.split("/").pop()! : "";
    const closed = once(response, "close");
    const body = await json(request);
    const method = methods[name];
    const answer = method
      ? { ok: true, result: await method(body, closed) }
      : { ok: false, error_code: 404, description: "Not Found" };
    response.writeHead(method ? 200 : 404, { "Content-Type": "application/json" });
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    apiRoot: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Somebody writes to the bot; resolves with what it answers. */
    async write(userId: number, text: string, extra: Extra = {}): Promise<Message> {
      const answered = new Promise<void>((resolve) => (notifySent = resolve));
      const command = text.split(" ")[0]!;
      updates.push({
        update_id: ++updateId,
        message: {
          message_id: updateId,
          date: 0,
          chat: { id: userId, type: "private", first_name: "A" },
          from: { id: userId, is_bot: false, first_name: "A" },
          text,
          entities: [{ type: "bot_command", offset: 0, length: command.length }],
          ...extra,
        },
      });
      notifyUpdate();
      await answered;
      return sent.at(-1)!;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
