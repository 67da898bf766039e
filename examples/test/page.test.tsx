// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { App } from "../ui/src/App.js";
import { inWords, secondsUntil } from "../ui/src/time.js";
import { EXHAUSTED, NOWHERE, SERVICE } from "./service.js";

afterEach(cleanup);

function page(serviceUrl: string) {
  const client = new QueryClient({ defaultOptions: { queries: { retryDelay: 0 } } });
  return render(
    <QueryClientProvider client={client}>
      <App serviceUrl={serviceUrl} />
    </QueryClientProvider>,
  );
}

test("the page shows the identity of the player and what is left of its life", async () => {
  page(SERVICE);
  await screen.findByText("web-123456@sports.api.yourbook.com/v1:id");
  const life = screen.getByRole<HTMLProgressElement>("progressbar", { name: "Life left" });
  expect(life.max).toBe(3600);
  expect(life.value).toBeGreaterThan(800);
  expect(screen.getByText(/^It lives for another (1 h|\d+ min)/)).toBeTruthy();
});

test("another player is another identity", async () => {
  page(SERVICE);
  fireEvent.change(screen.getByLabelText("Player"), { target: { value: "u-9" } });
  fireEvent.click(screen.getByText("Show"));
  await screen.findByText("web-u-9@sports.api.yourbook.com/v1:id");
});

test("where the limit is used up the page says so, and when to try again", async () => {
  page(EXHAUSTED);
  expect((await screen.findByRole("alert")).textContent).toMatch(/limit is used up/);
  expect(screen.getByText(/^You can try again in (1 h|\d+ min)/)).toBeTruthy();
  expect(screen.getByText<HTMLButtonElement>("Try again").disabled).toBe(true);
});

test("a player that can't have an identity is told why", async () => {
  page(SERVICE);
  fireEvent.change(screen.getByLabelText("Player"), { target: { value: "no spaces" } });
  fireEvent.click(screen.getByText("Show"));
  expect((await screen.findByRole("alert")).textContent).toMatch(/can't have an identity/);
});

test("a service that does not answer is named, and can be tried again at once", async () => {
  page(NOWHERE);
  expect((await screen.findByRole("alert")).textContent).toMatch(/does not answer/);
  expect(screen.getByText<HTMLButtonElement>("Try again").disabled).toBe(false);
});

test.each([
  [0, "0 s"],
  [59, "59 s"],
  [60, "1 min"],
  [3725, "1 h 2 min 5 s"],
])("%d seconds in words", (seconds, words) => {
  expect(inWords(seconds)).toBe(words);
});

test.each([
  [1000, 0, 1],
  [1001, 0, 2],
  [1000, 1000, 0],
  [1000, 5000, 0],
])("from %d until %d", (endMs, nowMs, seconds) => {
  expect(secondsUntil(endMs, nowMs)).toBe(seconds);
});
