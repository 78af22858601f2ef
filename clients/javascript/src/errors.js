/** Root of every error that the client raises on purpose. */
export class ClientError extends Error {
  constructor(message, fields) {
    super(message);
    Object.assign(this, fields);
  }
}

// The names survive a minifier, which renames classes.
const kind = (name, Base = ClientError) => {
  const Kind = class extends Base {};
  Kind.prototype.name = name;
  return Kind;
};
ClientError.prototype.name = "ClientError";

/** The edge answered with an error: `code`, `sentence`, and `retryAfterMs` where the same may go well later. */
export const Refused = kind("Refused");
export const refused = (fields) => new Refused(`${fields.code}: ${fields.sentence}`, fields);

/** The connection went before the answer came: whether the edge acted is not known. */
export const Disconnected = kind("Disconnected");

/** No answer came in time; the request may have been carried out. */
export const RequestTimeout = kind("RequestTimeout");

/** JSON cannot carry the message, or the edge takes none of this length. Nothing else is affected. */
export const Unsendable = kind("Unsendable");

/** This client has a subscription of the channel already. */
export const AlreadyFollowed = kind("AlreadyFollowed");

/** The edge sent the client away for good, with the close code `code`. */
export const Dismissed = kind("Dismissed");

/** The edge does not take the token. */
export const AuthenticationFailed = kind("AuthenticationFailed", Dismissed);

/** The client was closed. */
export const ClientClosed = kind("ClientClosed");
