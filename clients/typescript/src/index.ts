// Client of the Arsenal Identity Service.
export * from "./client.js";
export {
  IdentityServiceError,
  NoAnswerError,
  ProblemError,
  RateLimitedError,
  UnexpectedAnswerError,
  type Fault,
  type Problem,
} from "./errors.js";
export type { components, operations, paths } from "./openapi.js";
export { DEFAULT_RETRY, type Retry, type Send } from "./retry.js";
