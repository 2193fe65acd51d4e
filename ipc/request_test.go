package ipc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// exchange sends a request as it is written and returns the answer with its body.
func exchange(t testing.TB, path, request string) (*http.Response, string) {
	t.Helper()
	conn := connect(t, path)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// problemOf returns the code of a problem, or nothing for an answer that is none.
func problemOf(t testing.TB, response *http.Response, body string) ErrorCode {
	t.Helper()
	if response.StatusCode == http.StatusOK {
		return ""
	}
	var problem Error
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatalf("%s: %v: %q", response.Status, err, body)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("a problem of type %q", kind)
	}
	if problem.Status != response.StatusCode || problem.Title == "" || problem.Detail == "" {
		t.Errorf("not a whole problem: %s", body)
	}
	return problem.Code
}

// What is sent to the right place in the wrong way is refused with a reason, never guessed at; what is not a call is
// not found, never redirected to what might have been meant.
func TestRequests(t *testing.T) {
	_, path := serve(t, newBackend(Owner|Helpdesk), ServerOptions{})
	const json = "Content-Type: application/json\r\n"
	for _, test := range []struct {
		request string // method, target, then headers
		body    string
		want    ErrorCode
	}{
		{"GET /v1/status", "", ""},
		{"GET /v1/tokens/payroll/12345.jan", "", ""},
		{"GET /v1/tokens/payroll/12345%2Ejan", "", ""}, // another spelling of the same name
		{"GET /v1/tokens/payroll", "", ""},
		{"GET /v1/tokens/payroll/12345.jan?wait=0s&until=active&method=GET&url=https%3A%2F%2F12345.rest.afas.online%2Fx", "", ""},
		{"POST /v1/tokens/payroll/12345.jan/reset", "", ""},
		{"POST /v1/tokens/payroll/12345.jan/reset", "{}", ""},
		{"POST /v1/tokens/payroll/12345.jan/reset", ` {"dry_run" : true, "enrol":false} `, ""},
		{"POST /v1/tokens/payroll/12345.jan/reset\r\nContent-Type: application/json; charset=utf-8", "{}", ""},
		{"POST /v1/tokens/payroll/12345.jan/activate", `{"code": "3426 4813"}`, ""},

		// No route.
		{"GET /", "", NotFound},
		{"GET /v1", "", NotFound},
		{"GET /v2/status", "", NotFound},
		{"GET /v1/status/", "", NotFound},
		{"GET //v1/status", "", NotFound},
		{"GET /v1//status", "", NotFound},
		{"GET /v1/./status", "", NotFound},
		{"GET /v1/x/../status", "", NotFound},
		{"GET /v1/%73tatus", "", NotFound},
		{"GET /v1/tokens/", "", NotFound},
		{"GET /v1/tokens//12345.jan", "", NotFound},
		{"GET /v1/tokens/payroll/", "", NotFound},
		{"GET /v1/tokens/payroll/12345.jan/", "", NotFound},
		{"GET /v1/tokens/payroll/12345.jan/explain/more", "", NotFound},
		{"GET /v1/tokens/payroll/../../../etc/passwd", "", NotFound},
		{"DELETE /v1/tokens/payroll/12345.jan", "", NotFound},
		{"POST /v1/status", "", NotFound},
		{"GET /v1/tokens/payroll/12345.jan/reset", "", NotFound},
		{"OPTIONS *", "", InvalidRequest},
		{"GET http://profitd/v1/status", "", InvalidRequest},
		{"CONNECT profitd:443", "", InvalidRequest},
		{"GET /v1/profit/payroll/12345.jan/connectors", "", Unsupported},
		{"POST /v1/profit/payroll", "", Unsupported},

		// Names of entries that are not there, or not the caller's: ".." is a name like any other.
		{"GET /v1/tokens/payroll/12345.ria", "", Denied},
		{"GET /v1/tokens/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd", "", Denied},
		{"GET /v1/tokens/payroll/%2e%2e%2f%2e%2e%2f", "", Denied},
		{"GET /v1/tokens/payroll/..", "", Denied},
		{"GET /v1/tokens/payroll/12345.jan%2Fcode", "", Denied},
		{"GET /v1/tokens/payroll/%00", "", InvalidRequest},
		{"GET /v1/tokens/payroll/%1b%5b31m", "", InvalidRequest},
		{"GET /v1/tokens/payroll/%ff%fe", "", InvalidRequest},

		// The query.
		{"GET /v1/status?verbose=1", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=forever", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=-1s", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=5m1s", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=60", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=1s&wait=2s", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?Wait=1s", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?until=idle", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?method=G%20T", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?url=http%3A%2F%2Fexample.com", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?url=%2Fconnectors", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?a;b", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan?wait=%zz", "", InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset?dry_run=true", "", InvalidRequest},
		{"GET /v1/tokens/payroll/12345.jan/explain?account=%0d%0aforged", "", InvalidRequest},

		// The body.
		{"GET /v1/status", "{}", InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"dryrun": true}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"Dry_Run": true}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"enrol": false, "enrol": true}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"dry_run": "true"}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"dry_run": null}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"dry_run": true}{}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `{"dry_run": true`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `[]`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", `null`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset", strings.Repeat("[", 60<<10), InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/reset\r\nContent-Type: text/plain", "{}", InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/code", `{"code": "1"}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/activate", `{"code": 34264813}`, InvalidRequest},
		{"POST /v1/tokens/payroll/12345.jan/activate", "", InvalidCode},
		{"POST /v1/tokens/payroll/12345.jan/activate", `{"code": " - "}`, InvalidCode},
		{"POST /v1/tokens/payroll/12345.jan/activate", `{"code": "3426; rm"}`, InvalidCode},

		// Web pages.
		{"GET /v1/status\r\nOrigin: http://localhost", "", Denied},
		{"GET /v1/status\r\nReferer: http://localhost/", "", Denied},
		{"GET /v1/status\r\nOrigin: null", "", Denied},
	} {
		start, headers, _ := strings.Cut(test.request, "\r\n")
		if headers != "" {
			headers += "\r\n"
		} else if test.body != "" {
			headers = json
		}
		if test.body != "" {
			headers += fmt.Sprintf("Content-Length: %d\r\n", len(test.body))
		}
		request := fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n%s", start, headers, test.body)
		response, body := exchange(t, path, request)
		if got := problemOf(t, response, body); got != test.want {
			t.Errorf("%s %.40s: %q instead of %q: %s", start, test.body, got, test.want, body)
		}
		if response.Header.Get("Location") != "" {
			t.Errorf("%s: redirects", start)
		}
		if response.ContentLength != int64(len(body)) || len(response.TransferEncoding) > 0 {
			t.Errorf("%s: Content-Length %d, transfer encoding %v", start, response.ContentLength, response.TransferEncoding)
		}
		if response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", start)
		}
	}
}

// HEAD has no body to say what is wrong, but is refused like every other method that a path does not take.
func TestHead(t *testing.T) {
	_, path := serve(t, newBackend(Owner), ServerOptions{})
	response, _ := exchange(t, path, "HEAD /v1/tokens/payroll/12345.jan HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if response.StatusCode != http.StatusNotFound || response.Header.Get("Allow") != "GET" {
		t.Errorf("%s, Allow: %q", response.Status, response.Header.Get("Allow"))
	}
}

// How long a code is may be is documented nowhere: eight digits are no rule, 100,000 are none.
func TestCodeLengths(t *testing.T) {
	backend := newBackend(Owner)
	_, path := serve(t, backend, ServerOptions{})
	for digits, want := range map[int]ErrorCode{0: InvalidCode, 7: "", 8: "", 9: "", 64: "", 65: InvalidCode, 60000: InvalidCode, 100000: TooLarge} {
		body := fmt.Sprintf(`{"code": "%s"}`, strings.Repeat("7", digits))
		response, answer := exchange(t, path, fmt.Sprintf("POST /v1/tokens/payroll/12345.jan/activate HTTP/1.1\r\n"+
			"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if got := problemOf(t, response, answer); got != want {
			t.Errorf("%d digits: %q instead of %q", digits, got, want)
		}
		if strings.Contains(answer, "777") {
			t.Errorf("%d digits: the answer quotes the code: %.100s", digits, answer)
		}
	}
	if got := backend.called("activate"); got != 4 {
		t.Errorf("%d codes reached the backend instead of 4", got)
	}
}

// Whatever is in a path, a query or a body, it is either refused as one of four errors or read as what a client that
// keeps to openapi.yaml would have to send for it.
func FuzzRequest(f *testing.F) {
	f.Add("/v1/tokens/payroll/12345.jan", "wait=60s&until=active", `{"code": "3426 4813"}`)
	f.Add("/v1/tokens/jan%40example.com/%2e%2e%2f", "account=jan", `{"revoke": false, "dry_run": true}`)
	f.Add("//v1/../status", "a;b", `{"code": "1", "code": "2"}`)
	f.Add("/v1/profit/", "wait=%zz", `[[[[`)
	refused := func(t *testing.T, err error, codes ...ErrorCode) {
		var problem *Error
		if !errors.As(err, &problem) {
			t.Fatalf("not an Error: %v", err)
		}
		for _, code := range codes {
			if problem.Code == code {
				return
			}
		}
		t.Fatalf("refused as %s: %v", problem.Code, err)
	}
	f.Fuzz(func(t *testing.T, path, query, body string) {
		for _, method := range []string{"GET", "POST"} {
			c := &call{
				w: httptest.NewRecorder(), conn: &conn{}, peer: &Peer{Accounts: []string{"jan"}},
				r: &http.Request{Method: method, RequestURI: "/" + path + "?" + query},
			}
			if err := c.parse(); err != nil {
				refused(t, err, InvalidRequest, NotFound, Unsupported)
				continue
			}
			if c.ref.User != "" && mustRef(t, tokenPath(c.ref, "")) != c.ref {
				t.Fatalf("%+v does not come back from %s", c.ref, tokenPath(c.ref, ""))
			}
			if _, err := c.tokenQuery(); err != nil {
				refused(t, err, InvalidRequest)
			}
		}
		var code string
		var revoke bool
		if err := decodeObject([]byte(body), map[string]any{"code": &code, "revoke": &revoke}); err != nil {
			refused(t, err, InvalidRequest)
		} else if !json.Valid([]byte(body)) {
			t.Fatalf("took %q for JSON", body)
		}
		if parsed, err := ParseActivationCode(code); err != nil {
			refused(t, err, InvalidCode)
		} else if length := len(parsed.Reveal()); length == 0 || length > maxCode {
			t.Fatalf("a code of %d bytes", length)
		}
	})
}

func mustRef(t *testing.T, path string) Ref {
	ref, matches, err := match("/v1/tokens/{connector}/{user}", path)
	if err != nil || !matches {
		t.Fatalf("the client's own path %q: %v", path, err)
	}
	return ref
}
