// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { renderHook, waitFor } from "@testing-library/react";
import { createElement, type ReactNode } from "react";
import { expect, test } from "vitest";
import { useIdentity } from "../ui/hooks/useIdentity.js";
import { EXHAUSTED, expectActive, NOWHERE, SERVICE } from "./service.js";

function wrapper() {
  const client = new QueryClient({ defaultOptions: { queries: { retryDelay: 0 } } });
  return ({ children }: { children: ReactNode }) => createElement(QueryClientProvider, { client }, children);
}

test("the hook gives the identity of the player, the same to a second component", async () => {
  const first = renderHook(() => useIdentity("u-1", SERVICE), { wrapper: wrapper() });
  expect(first.result.current.isPending).toBe(true);
  await waitFor(() => expect(first.result.current.isSuccess).toBe(true));
  expect(first.result.current.data?.id).toBe("web-u-1@sports.api.yourbook.com/v1:id");
  await expectActive(first.result.current.data!.id, first.result.current.data!.token);
  const second = renderHook(() => useIdentity("u-1", SERVICE), { wrapper: wrapper() }); // another cache
  await waitFor(() => expect(second.result.current.isSuccess).toBe(true));
  expect(second.result.current.data).toEqual(first.result.current.data);
});

test("another player is another query", async () => {
  const hook = renderHook(({ player }) => useIdentity(player, SERVICE), {
    wrapper: wrapper(),
    initialProps: { player: "u-2" },
  });
  await waitFor(() => expect(hook.result.current.data?.metadata.run).toBe("u-2"));
  hook.rerender({ player: "u-3" });
  await waitFor(() => expect(hook.result.current.data?.metadata.run).toBe("u-3"));
});

test("a refusal is shown at once and says when to try again", async () => {
  const hook = renderHook(() => useIdentity("u-1", EXHAUSTED), { wrapper: wrapper() });
  await waitFor(() => expect(hook.result.current.isError).toBe(true));
  expect(hook.result.current.error).toMatchObject({ status: 429 });
  expect(hook.result.current.error!.retryAfter).toBeGreaterThan(0);
  expect(hook.result.current.failureCount).toBe(1);
});

test("a service that does not answer is asked again before the hook gives up", async () => {
  const hook = renderHook(() => useIdentity("u-1", NOWHERE), { wrapper: wrapper() });
  await waitFor(() => expect(hook.result.current.isError).toBe(true));
  expect(hook.result.current.error).toMatchObject({ status: 0 });
  expect(hook.result.current.failureCount).toBe(3);
});
