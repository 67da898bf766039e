// Starts the page. VITE_IDENTITY_URL is where browsers find the identity service.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { LOCAL_URL } from "../../shared/identity.js";
import { App } from "./App.js";

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={new QueryClient()}>
    <App serviceUrl={import.meta.env.VITE_IDENTITY_URL || LOCAL_URL} />
  </QueryClientProvider>,
);
