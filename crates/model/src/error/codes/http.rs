//! LH09xx: the HTTP door, and from LH0950 the PostgreSQL door.
codes! {
    HTTP_NOT_FOUND = "LH0901" NotFound "no such address"
        "The path is not one this door serves. `GET /openapi.json` lists Lakehead's own endpoints; the schema registry's are those of Confluent's API (`/subjects`, `/schemas/ids/{id}`, `/config`, `/mode`, `/compatibility`).";
    HTTP_METHOD_NOT_ALLOWED = "LH0902" InvalidRequest "this address takes another method"
        "The path exists, but not for this HTTP method. The `Allow` header of the answer names the methods it takes; SQL, for example, is sent with POST.";
    HTTP_BODY_INVALID = "LH0903" InvalidRequest "the request's body is not what this address takes"
        "The detail says what was found. `POST /sql` takes SQL as `text/plain`, or a JSON object `{\"sql\": …, \"params\": […]}` as `application/json`.";
    HTTP_BODY_TOO_LARGE = "LH0904" MessageTooLarge "the request's body is too large"
        "Bodies are limited so that one client cannot fill the node's memory. Send large data through the Kafka door, or split the statement.";
    HTTP_ORIGIN_REFUSED = "LH0905" Forbidden "a web page from elsewhere tried to use this node"
        "The `Host` or `Origin` of the request is not this node's own address. Browsers send requests of any web page to any address, so such requests are refused. Use the address the node printed, or localhost.";
    HTTP_TOO_BUSY = "LH0906" Unavailable "too many requests at once"
        "The node works on a limited number of HTTP requests at a time so that its memory stays bounded. The same request will work once others are done; the `Retry-After` header says when to try.";
    HTTP_BODY_TIMEOUT = "LH0907" Timeout "the request's body did not arrive in time"
        "The client sent the head of a request and then took too long to send its body. Check the network between client and node, and send the request again.";
    HTTP_QUERY_TIMEOUT = "LH0908" Timeout "the query took too long for this door"
        "The query did not finish within the time the HTTP door allows and was cancelled. Narrow it with a WHERE clause or LIMIT, or run it through the PostgreSQL door, which sets no limit by default.";
    HTTP_NOT_ACCEPTABLE = "LH0909" InvalidRequest "no answer in a format the client accepts"
        "The `Accept` header names only formats this address does not give. `POST /sql` answers as application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream.";
    HTTP_RESULT_UNSENDABLE = "LH0910" InvalidValue "the result cannot be written in the format asked for"
        "A column has a type or a value that the format of the answer cannot hold; the detail names it. Ask for another format with the `Accept` header, or cast the column to text in the query.";

    PG_PROTOCOL_VIOLATION = "LH0951" InvalidRequest "bytes that are not PostgreSQL's protocol"
        "A client sent a message that is cut, too long or of an unknown type, and was disconnected. Check that it is a PostgreSQL client (protocol version 3) and not one of HTTP, TLS or Kafka; the doors' addresses are on the status page.";
    PG_TOO_MANY_CONNECTIONS = "LH0952" LimitExceeded "too many PostgreSQL connections"
        "The number of connections is limited so that memory stays bounded. Close idle ones, or put a connection pool (pgbouncer, the driver's own) in front.";
    PG_CANCELLED = "LH0953" Cancelled "the statement was cancelled by its user"
        "The client asked to cancel the statement (Ctrl-C in psql). What it had written before stays written; a query leaves nothing behind.";
    PG_STATEMENT_TIMEOUT = "LH0954" Timeout "the statement took longer than its timeout"
        "The session's `statement_timeout` was reached and the statement was cancelled. Raise it with `SET statement_timeout = '10min'`, or 0 for none.";
    PG_UNSUPPORTED = "LH0955" Unsupported "a PostgreSQL feature Lakehead does not have"
        "The statement is PostgreSQL's, but what it asks for does not exist here: there are no triggers, LISTEN/NOTIFY, roles, locks or temporary tables. The detail names the part.";
    PG_BLOCK_FAILED = "LH0956" Conflict "an earlier statement of the transaction block failed"
        "As in PostgreSQL, after an error inside BEGIN … COMMIT everything is refused until ROLLBACK or COMMIT ends the block. Note that Lakehead commits each statement by itself: what the block wrote before the error stays.";
    PG_NO_SUCH_STATEMENT = "LH0957" NotFound "no such prepared statement or cursor"
        "Prepared statements and cursors belong to one connection; cursors end with their transaction block unless declared WITH HOLD. A pool that hands out another connection between preparing and using loses them.";
    PG_PARAMETER_INVALID = "LH0958" InvalidValue "a parameter's value does not fit its type"
        "The value bound to a parameter ($1, $2, …) could not be read as the type the statement needs there. The detail shows the type; add a cast in the SQL (`$1::bigint`) if the wrong one was inferred.";
    PG_SETTING_INVALID = "LH0959" InvalidValue "a setting cannot have this value"
        "Lakehead always uses UTF-8, ISO dates and standard-conforming strings. Settings that say otherwise are refused rather than ignored.";
    PG_VALUE_UNSENDABLE = "LH0960" InvalidValue "a value cannot be sent to a PostgreSQL client"
        "The result has a value PostgreSQL has no form for, such as a date beyond its calendar. Cast the column to text in the query to see it.";
    PG_RESULT_CHANGED = "LH0961" Conflict "the columns of a prepared statement changed"
        "The statement was prepared, then a table or topic it reads got other columns. Prepare it again; most drivers do so on this error by themselves.";
    PG_IDLE = "LH0962" Timeout "the connection said nothing for too long"
        "Idle connections are closed after a while so that forgotten ones do not add up. Connect again; pools do so on their own.";
}
