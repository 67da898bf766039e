// A fake of Telegram's Bot API on the loopback: it hands out the updates that it is given and keeps what is sent.
// What is unreal about it: it knows three methods, one bot and no rules.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface Message {
  chat_id: number;
  text: string;
  parse_mode?: string;
}

export async function fakeTelegram(token: string) {
  const updates: object[] = [];
  const sent: Message[] = [];
  let told: () => void = () => {};

  async function json(request: IncomingMessage): Promise<any> {
    let text = "";
    for await (const piece of request) text += piece;
    return text ? JSON.parse(text) : {};
  }

  const server = createServer(async (request, response) => {
    const method = request.url?.startsWith(`/bot${token}/`) ? request.url.split("/").pop() : "";
    const body = await json(request);
    const results: Record<string, () => unknown> = {
      getMe: () => ({ id: 1, is_bot: true, first_name: "Bets", username: "bets_bot" }),
      deleteWebhook: () => true,
      getUpdates: () => updates.splice(0).map((update, index) => ({ update_id: (body.offset ?? 0) + index + 1, ...update })),
      sendMessage: () => {
        sent.push(body);
        told();
        return { message_id: sent.length, date: 0, chat: { id: body.chat_id, type: "private" }, text: body.text };
      },
    };
    const result = results[method ?? ""];
    response.writeHead(result ? 200 : 404, { "Content-Type": "application/json" });
    response.end(JSON.stringify(result ? { ok: true, result: result() } : { ok: false, error_code: 404, description: "Not Found" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    apiRoot: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Somebody writes to the bot; resolves with what it answers. */
    async write(userId: number, text: string): Promise<Message> {
      const answered = new Promise<void>((resolve) => (told = resolve));
      const command = text.split(" ")[0]!;
      updates.push({
        message: {
          message_id: 1,
          date: 0,
          chat: { id: userId, type: "private", first_name: "A" },
          from: { id: userId, is_bot: false, first_name: "A" },
          text,
          entities: [{ type: "bot_command", offset: 0, length: command.length }],
        },
      });
      await answered;
      return sent.at(-1)!;
    },
    close: () => server.close(),
  };
}
