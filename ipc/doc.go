// Package ipc is profitd's local API: how an application on this device asks for its Profit token, and how people
// and their tools look after it. Client is for callers; Backend, NewServer and Listen are for the service.
//
// It is HTTP/1.1 with JSON over a Unix socket, on Windows a named pipe (see DefaultSocket). openapi.yaml beside this
// file describes every call and is tested against the server, so any language can be a client, down to HTTP/1.0 over a
// bare socket.
//
// What the server promises:
//
//   - Who is calling comes from the kernel and is fixed before the first request (see Peer). What cannot be
//     identified has no rights. Nothing a request says about its sender counts.
//   - The routes in routes.go say who may call them. Rights are looked up before a call and again at the moment of
//     answering, so that a right lost meanwhile is lost. Without a right to an entry the answer is the same whether
//     or not the entry exists.
//   - A call that decides something runs to its end when the client hangs up; a wait ends.
//   - One account cannot keep others out: connections are counted per account, and accounts that own nothing share
//     one small pool (see Limits).
//   - Web pages are refused: nothing here is for requests that carry Origin or Referer.
//   - No answer, error or log line quotes a secret or a body. The one exception is the answer to a token call,
//     which carries the token.
//
// What the client promises: it sends nothing before it knows that the other end of the socket is the service (see
// ClientOptions), it repeats no call that could decide anything, and each of its errors says what to do next.
//
// What profitd knows about sockets comes from unix(7), about pipes from Microsoft's "Named Pipes" and "Named Pipe
// Security and Access Rights" and from winio, what it knows about HTTP from net/http, which serves it;
// errors follow RFC 9457, events the WHATWG's server-sent events.
package ipc
