// Package profittest is AFAS Profit, simulated: the services that turn an activation code into a token, with a mailbox
// in which the codes arrive, and switches for what can go wrong. It is for the tests of any application that signs in
// to Profit, in the manner of net/http/httptest.
//
// [NewServer] serves over real TLS with a root certificate of its own:
//
//	p := profittest.NewServer()
//	defer p.Close()
//	connector := p.AddConnector(profittest.Connector{Description: "Payroll desktop"})
//	p.AddUser(profittest.User{ID: "12345.jan", Email: "jan@example.com"})
//	// Give the application p.URL(), p.RootCA(), connector.APIKey and connector.EnvironmentKey, have it ask for a
//	// code, and read what Profit mails:
//	mail, err := p.WaitMail(ctx, "12345.jan")
//
// [NewProfit] is the same without sockets: an http.Handler, and [Profit.Transport] for an http.Client in the same
// process. It works in a bubble of testing/synctest, with that bubble's time, if it is made and closed there.
//
// One Profit is one environment. Any host name will do: through a proxy, the real ones as well, for which the server's
// certificate is good.
//
// # What it does
//
//	POST …/ProfitRestServices/OtpRequest       mails a code; an empty 200 of type application/xml
//	POST …/ProfitRestServices/OtpValidation    trades it for a token, with CRLF behind the token
//	GET  …/ProfitRestServices/ProfitVersion    for any valid token
//	GET  …/ProfitRestServices/MetaInfo         likewise, with the token's expiry
//	GET  …/ProfitRestServices/connectors/{id}  the rows of a GetConnector of the app connector
//	POST …/ProfitServices/TokenConnector.asmx  SOAP 1.1: GenerateOTP, GetTokenFromOTP, DeleteToken
//
// Paths are not case-sensitive, userId may be spelled userid, a code works once, and a token belongs to one app
// connector, user and device. A code is mailed only to a user who has an e-mail address and is a member of the app
// connector's group, while the connector is not blocked. Answers are those that AFAS documents: 400 for what is
// missing, 401 for wrong keys and for tokens that are unknown, deleted, expired or of another connector, 403 for an IP
// restriction, 404 for a wrong URL, 500 with externalMessage, errorNumber and profitLogReference for the rest, also for
// a token that is not in base64. A ninth call at the same time gets 503 with retry_after. Answers are gzipped for
// whoever asks. [Profit.Calls] tells what was called, [Profit.MaxParallel] how much of it at once.
//
// # What nobody documents
//
// Where AFAS is silent the simulator has to do something; a test should not rely on it. [Behaviour] holds the choices
// that matter to a client. Besides: a blocked connector refuses its tokens with 401; SOAP refuses with the same
// statuses as REST, with a fault for 500; a token made over REST gets a description of the simulator's own.
//
// The knowledge comes from AFAS's OpenAPI description and help pages; see package profit.
package profittest
