/** Root of every error that the client raises on purpose. */
export class ClientError extends Error {
  constructor(message, fields = {}) {
    super(message);
    this.name = new.target.name;
    Object.assign(this, fields);
  }
}

/** The edge answered with an error: `code`, `sentence`, and `retryAfterMs` where the same may go well later. */
export class Refused extends ClientError {
  constructor({ code, sentence, retryAfterMs }) {
    super(`${code}: ${sentence}`, { code, sentence, retryAfterMs });
  }
}

/** The connection went before the answer came: whether the edge acted is not known. */
export class Disconnected extends ClientError {}

/** No answer came in time; the request may have been carried out. */
export class RequestTimeout extends ClientError {}

/** JSON cannot carry the message, or the edge takes none of this length. Nothing else is affected. */
export class Unsendable extends ClientError {}

/** This client has a subscription of the channel already. */
export class AlreadyFollowed extends ClientError {}

/** The edge sent the client away for good, with the close code `code`. */
export class Dismissed extends ClientError {}

/** The edge does not take the token. */
export class AuthenticationFailed extends Dismissed {}

/** The client was closed. */
export class ClientClosed extends ClientError {}
