// Package profit calls the services of AFAS Profit that turn an activation code into a token: it asks Profit to mail
// a code, trades the code for a token, verifies a token, and withdraws one.
//
// A [Network] is what all calls of a device share: kept-alive connections, proxy, root certificates, and the gate of
// eight calls in parallel that AFAS allows per environment. [Network.Client] makes a [Client] for one app connector.
//
// What it promises:
//
//   - TLS 1.2 or later, and nothing without TLS. A redirect is an answer, not an invitation: none is followed.
//   - A POST is sent once. Neither this package nor the transport below it repeats one, since a mail or a code is
//     spent each time. A GET may be repeated by the transport when a kept-alive connection turns out to be dead.
//   - Every error of a call is an [*Error]. It says whether trying again makes sense and when, whether the request
//     can have reached Profit, and what Profit said, with the reference that AFAS support asks for.
//   - No API key, environment key, activation code or token is in any error, and none is printed or marshalled:
//     [Secret] and [Token] show what they hold only through a method that is named for it.
//   - Of an answer at most 1 MiB is read. What is HTML, empty, cut short or of the wrong shape is a clear error.
//
// A call that ends without an answer may have been carried out all the same: Profit finishes a request (it allows
// itself 900 s) whether or not the client still waits. [Error.Reached] tells.
//
// The knowledge comes from AFAS's OpenAPI description (repository AFASSoftware/OASContent, Inrichting.json), its
// pages authentication.md, troubleshooting.md and integrationid.md there, and the WSDL of TokenConnector.asmx.
// What these leave open, such as the answer to a wrong code or the format of tokenExpiry, is read leniently.
package profit
