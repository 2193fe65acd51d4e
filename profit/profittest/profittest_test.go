package profittest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profitd/profitd/profit/profittest"
)

const (
	base = "https://12345.rest.afas.online/ProfitRestServices/"
	soap = "https://12345.soap.afas.online/ProfitServices/TokenConnector.asmx"
	jan  = "12345.jan"
)

// caller calls a Profit without sockets, byte for byte as a test has it.
type caller struct {
	*testing.T
	*profittest.Profit
	connector profittest.Connector
}

func newCaller(t *testing.T) *caller {
	c := &caller{T: t, Profit: profittest.NewProfit()}
	t.Cleanup(c.Close)
	c.connector = c.AddConnector(profittest.Connector{Description: "Payroll desktop", Group: "payroll"})
	c.AddUser(profittest.User{ID: jan, Email: "jan@example.com", Groups: []string{"payroll"}})
	return c
}

// do returns the status, the header and the body of an answer.
func (c *caller) do(method, url, body string, header ...string) (int, http.Header, string) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.Transport().RoundTrip(r)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

func (c *caller) status(method, url, body string, header ...string) int {
	c.Helper()
	status, _, _ := c.do(method, url, body, header...)
	return status
}

// fields are the body of OtpRequest, or of OtpValidation if there is a code.
func (c *caller) fields(user, code string) string {
	fields := map[string]string{"apiKey": c.connector.APIKey, "apiToken": c.connector.EnvironmentKey, "userId": user}
	if code != "" {
		fields["otp"] = code
	}
	body, _ := json.Marshal(fields)
	return string(body)
}

func (c *caller) request(user string) int {
	c.Helper()
	return c.status("POST", base+"OtpRequest", c.fields(user, ""))
}

func (c *caller) validate(code string) int {
	c.Helper()
	return c.status("POST", base+"OtpValidation", c.fields(jan, code))
}

// code has a code mailed.
func (c *caller) code() string {
	c.Helper()
	if status := c.request(jan); status != 200 {
		c.Fatalf("OtpRequest: %d", status)
	}
	mail, err := c.WaitMail(c.Context(), jan)
	if err != nil {
		c.Fatal(err)
	}
	return mail.Code
}

func (c *caller) soapCall(function, parameters string) (int, string) {
	c.Helper()
	status, _, body := c.do("POST", soap, `<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><`+
		function+` xmlns="urn:Afas.Profit.Services">`+parameters+`</`+function+`></e:Body></e:Envelope>`,
		"SOAPAction", `"urn:Afas.Profit.Services/`+function+`"`)
	return status, body
}

func (c *caller) keys() string {
	return "<apiKey>" + c.connector.APIKey + "</apiKey><environmentKey>" + c.connector.EnvironmentKey + "</environmentKey>"
}

// The oddities that trip up clients.
func TestOddities(t *testing.T) {
	c := newCaller(t)
	status, header, body := c.do("POST", strings.ToLower(base)+"OTPREQUEST",
		strings.Replace(c.fields("JAN@example.com", ""), "userId", "userid", 1))
	if status != 200 || body != "" || header.Get("Content-Type") != "application/xml" || header.Get("Content-Length") != "0" {
		t.Errorf("OtpRequest: %d %q %v", status, body, header)
	}
	mail := c.Mails(jan)[0]
	grouped := mail.Code[:4] + " " + mail.Code[4:]
	if len(mail.Code) != 8 || mail.To != "jan@example.com" || !strings.Contains(mail.Subject, "Payroll desktop") || !strings.Contains(mail.Body, grouped) {
		t.Errorf("mail: %+v", mail)
	}
	status, _, body = c.do("POST", base+"OtpValidation", c.fields(jan, mail.Code))
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil || answer.Token != c.Tokens()[0].XML+"\r\n" {
		t.Errorf("OtpValidation: %d %q", status, body)
	}
	if status := c.validate(mail.Code); status != 500 {
		t.Errorf("the code a second time: %d", status)
	}
	if len(c.Tokens()) != 1 {
		t.Errorf("%d tokens", len(c.Tokens()))
	}
}

// Profit mails only to a user with an address, in the group, while the connector is not blocked.
func TestWhoGetsMail(t *testing.T) {
	c := newCaller(t)
	c.AddUser(profittest.User{ID: "no.address", Groups: []string{"payroll"}})
	c.AddUser(profittest.User{ID: "no.group", Email: "no.group@example.com"})
	for _, user := range []string{"no.address", "no.group", "nobody"} {
		if status := c.request(user); status != 200 {
			t.Errorf("%s: %d", user, status)
		}
	}
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) { k.Blocked = true })
	if status := c.request(jan); status != 200 {
		t.Errorf("blocked: %d", status)
	}
	c.SetBehaviour(profittest.Behaviour{RefuseWithoutMail: true})
	if status := c.request(jan); status != 500 {
		t.Errorf("blocked, refusing: %d", status)
	}
	if mails := c.Mails(""); len(mails) != 0 {
		t.Errorf("mails: %+v", mails)
	}
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) { k.Blocked = false })
	c.UpdateUser("no.group", func(u *profittest.User) { u.Groups = []string{"payroll"} })
	if c.request("no.group"); len(c.Mails("no.group")) != 1 {
		t.Error("no mail after joining the group")
	}
}

func TestCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t)
		first, second := c.code(), c.code()
		if status := c.validate(first); status != 500 {
			t.Errorf("an earlier code: %d", status)
		}
		if status := c.validate(second); status != 200 {
			t.Errorf("the last code: %d", status)
		}
		c.SetBehaviour(profittest.Behaviour{KeepEarlierCodes: true, WrongCode: 401, CodeLifetime: time.Hour})
		first, second = c.code(), c.code()
		if status := c.validate(first); status != 200 {
			t.Errorf("an earlier code that is kept: %d", status)
		}
		time.Sleep(time.Hour)
		if status := c.validate(second); status != 401 {
			t.Errorf("an expired code: %d", status)
		}
	})
}

// Every refusal that AFAS documents.
func TestRefusals(t *testing.T) {
	c := newCaller(t)
	token := c.IssueToken(c.connector.APIKey, jan, "")
	good := []string{"Authorization", token.Authorization()}
	with := func(old, new string) string { return strings.Replace(c.fields(jan, ""), old, new, 1) }
	version := base + "ProfitVersion"
	check := func(name string, want, got int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	check("no JSON", 400, c.status("POST", base+"OtpRequest", "apiKey=1"))
	check("no key", 400, c.status("POST", base+"OtpRequest", with("apiKey", "key")))
	check("no user", 400, c.status("POST", base+"OtpRequest", with("userId", "user")))
	check("no code", 400, c.status("POST", base+"OtpValidation", c.fields(jan, "")))
	check("too long", 400, c.status("POST", base+"OtpRequest", c.fields(jan, "")+strings.Repeat(" ", 2<<20)))
	check("wrong API key", 401, c.status("POST", base+"OtpRequest", with(c.connector.APIKey, "1")))
	check("wrong environment key", 401, c.status("POST", base+"OtpRequest", with(c.connector.EnvironmentKey, "1")))
	check("no token", 401, c.status("GET", version, ""))
	check("unknown token", 401, c.status("GET", version, "", "Authorization", profittest.Token{XML: "<token/>"}.Authorization()))
	check("not base64", 500, c.status("GET", version, "", "Authorization", "AfasToken "+token.XML))
	check("CRLF behind the token", 401, c.status("GET", version, "",
		"Authorization", "AfasToken "+base64.StdEncoding.EncodeToString([]byte(token.XML+"\r\n"))))
	check("good token", 200, c.status("GET", version, "", good...))
	check("no such function, no token", 401, c.status("GET", base+"Nothing", ""))
	check("no such function", 404, c.status("GET", base+"Nothing", "", good...))
	check("wrong method", 404, c.status("GET", base+"OtpRequest", "", good...))
	check("wrong path", 404, c.status("GET", "https://12345.rest.afas.online/Nothing", "", good...))
	check("not linked", 401, c.status("GET", base+"connectors/Employees", "", good...))

	c.ExpireTokens(time.Now().Add(-time.Second))
	check("expired token", 401, c.status("GET", version, "", good...))
	c.ExpireTokens(time.Time{})
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) { k.Blocked = true })
	check("blocked connector", 401, c.status("GET", version, "", good...))
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) {
		k.Blocked, k.AllowFrom = false, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	check("other network", 403, c.status("GET", version, "", good...))
	check("other network, OtpRequest", 403, c.request(jan))
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) {
		k.AllowFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	check("own network", 200, c.status("GET", version, "", good...))
	if !c.DeleteToken(token.XML) || c.DeleteToken(token.XML) {
		t.Error("DeleteToken does not tell whether there was a token")
	}
	check("deleted token", 401, c.status("GET", version, "", good...))

	_, _, body := c.do("GET", version, "", "Authorization", "AfasToken !")
	var answer struct {
		ExternalMessage    string
		ErrorNumber        int
		ProfitLogReference string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.ExternalMessage == "" || answer.ErrorNumber == 0 || len(answer.ProfitLogReference) != 32 {
		t.Errorf("500: %s", body)
	}
}

func TestMetaInfo(t *testing.T) {
	c := newCaller(t)
	c.SetBehaviour(profittest.Behaviour{ExpiryLayout: "02-01-2006"})
	c.UpdateConnector(c.connector.APIKey, func(k *profittest.Connector) {
		k.GetConnectors = map[string][]map[string]any{"Employees": nil}
	})
	token := c.IssueToken(c.connector.APIKey, jan, "laptop")
	for _, test := range []struct {
		at   time.Time
		want string
	}{{time.Time{}, "0"}, {time.Date(2999, 5, 1, 0, 0, 0, 0, time.UTC), "01-05-2999"}} {
		c.ExpireTokens(test.at)
		_, _, body := c.do("GET", base+"MetaInfo", "", "Authorization", token.Authorization())
		var answer struct {
			GetConnectors []struct{ ID string }
			Info          struct{ EnvID, AppName, Group, TokenExpiry string }
		}
		err := json.Unmarshal([]byte(body), &answer)
		if err != nil || answer.Info.AppName != "Payroll desktop" || answer.Info.Group != "payroll" ||
			answer.Info.TokenExpiry != test.want || len(answer.GetConnectors) != 1 {
			t.Errorf("MetaInfo: %s", body)
		}
	}
	_, _, body := c.do("GET", base+"connectors/EMPLOYEES", "", "Authorization", token.Authorization())
	if body != `{"rows":[],"skip":0,"take":100}` {
		t.Errorf("rows: %s", body)
	}
}

// Over SOAP the device has a name, which must be the only one, and tokens can be withdrawn.
func TestSOAP(t *testing.T) {
	c := newCaller(t)
	generate := "<userId>" + jan + "</userId>" + c.keys() + "<description>LAPTOP &lt;1&gt;</description>"
	if status, body := c.soapCall("GenerateOTP", generate); status != 200 || !strings.Contains(body, "<GenerateOTPResult>") {
		t.Fatalf("GenerateOTP: %d %s", status, body)
	}
	trade := "<userId>" + jan + "</userId>" + c.keys() + "<otp>" + c.Mails(jan)[0].Code + "</otp>"
	status, body := c.soapCall("GetTokenFromOTP", trade)
	if status != 200 || !strings.Contains(body, "&lt;token&gt;") || c.Tokens()[0].Device != "LAPTOP <1>" {
		t.Fatalf("GetTokenFromOTP: %d %s, %+v", status, body, c.Tokens())
	}
	check := func(name, function, parameters string, want int) {
		t.Helper()
		if got, body := c.soapCall(function, parameters); got != want || got == 500 && !strings.Contains(body, "<faultstring>") {
			t.Errorf("%s: %d, want %d: %s", name, got, want, body)
		}
	}
	check("same code", "GetTokenFromOTP", trade, 500)
	check("same description", "GenerateOTP", generate, 500)
	c.SetBehaviour(profittest.Behaviour{ShareDescriptions: true})
	check("same description, shared", "GenerateOTP", generate, 200)
	check("wrong order", "GenerateOTP", c.keys()+"<userId>x</userId><description>y</description>", 400)
	check("parameter missing", "GenerateOTP", "<userId>x</userId>"+c.keys(), 400)
	check("no description", "GenerateOTP", "<userId>x</userId>"+c.keys()+"<description/>", 400)
	check("no such function", "Nothing", "", 404)
	check("no such token", "DeleteToken", "<token>x</token>", 401)
	check("delete", "DeleteToken", "<token>"+strings.NewReplacer("<", "&lt;").Replace(c.Tokens()[0].XML)+"</token>", 200)
	if len(c.Tokens()) != 0 {
		t.Error("the token is still there")
	}
	status, _, _ = c.do("POST", soap, "", "SOAPAction", "GenerateOTP")
	if status != 404 {
		t.Errorf("SOAPAction without namespace: %d", status)
	}
}

// AFAS allows eight calls in parallel; a client that makes nine finds out here.
func TestNinthCallInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t)
		hold := make(chan struct{})
		c.Fault(profittest.Fault{Times: 8, Hold: hold})
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				if status := c.request(jan); status != 200 {
					t.Errorf("one of eight: %d", status)
				}
			})
		}
		synctest.Wait()
		if status, _, body := c.do("POST", base+"OtpRequest", c.fields(jan, "")); status != 503 || !strings.Contains(body, `"retry_after": 1`) {
			t.Errorf("the ninth: %d %s", status, body)
		}
		close(hold)
		calls.Wait()
		if c.MaxParallel() != 9 || len(c.Mails(jan)) != 8 {
			t.Errorf("%d in parallel, %d mails", c.MaxParallel(), len(c.Mails(jan)))
		}
	})
}

func TestFaults(t *testing.T) {
	c := newCaller(t)
	post := func() (*http.Response, error) {
		r, _ := http.NewRequest("POST", base+"OtpRequest", strings.NewReader(c.fields(jan, "")))
		return c.Transport().RoundTrip(r)
	}
	tests := []struct {
		name   string
		fault  profittest.Fault
		status int // 0: no answer
		mails  int
	}{
		{"cut before", profittest.Fault{Cut: profittest.CutBefore}, 0, 0},
		{"cut after", profittest.Fault{Cut: profittest.CutAfter}, 0, 1},
		{"answer", profittest.Fault{Answer: profittest.HTML(502)}, 502, 0},
		{"answer, worked", profittest.Fault{Answer: profittest.HTML(502), Worked: true}, 502, 1},
		{"garbage", profittest.Fault{Answer: profittest.Garbage()}, 200, 0},
		{"empty", profittest.Fault{Answer: profittest.Empty(204)}, 204, 0},
		{"redirect", profittest.Fault{Answer: profittest.Redirect("http://example.com")}, 302, 0},
		{"other call", profittest.Fault{Call: "MetaInfo", Cut: profittest.CutBefore}, 200, 1},
		{"skip", profittest.Fault{Skip: 1, Cut: profittest.CutBefore}, 200, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer c.ClearFaults()
			before := len(c.Mails(jan))
			test.fault.Times = 1
			c.Fault(test.fault)
			response, err := post()
			if status := statusOf(response, err); status != test.status {
				t.Errorf("status %d, want %d: %v", status, test.status, err)
			}
			if mails := len(c.Mails(jan)) - before; mails != test.mails {
				t.Errorf("%d mails, want %d", mails, test.mails)
			}
			if response, err := post(); test.fault.Skip == 1 == (err == nil) {
				t.Errorf("the next call: %d %v", statusOf(response, err), err)
			}
		})
	}
	c.Fault(profittest.Fault{Answer: profittest.HTML(200), Cut: profittest.CutBody})
	response, err := post()
	if err != nil {
		t.Fatal(err)
	}
	if half, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(half) == 0 || strings.Contains(string(half), "</html>") {
		t.Errorf("half a body: %q, %v", half, err)
	}
	c.SetUnreachable(true)
	if _, err := post(); err == nil {
		t.Error("unreachable, and still there")
	}
}

func statusOf(response *http.Response, err error) int {
	if err != nil {
		return 0
	}
	return response.StatusCode
}

// A client that does not wait for the answer does not stop Profit from working.
func TestDelayOutlastsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t)
		c.Fault(profittest.Fault{Delay: 900 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "POST", base+"OtpRequest", strings.NewReader(c.fields(jan, "")))
		if _, err := c.Transport().RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("RoundTrip: %v", err)
		}
		asked := time.Now()
		mail, err := c.WaitMail(t.Context(), jan)
		if err != nil || mail.At.Sub(asked) != 780*time.Second {
			t.Errorf("mail %v later, %v", mail.At.Sub(asked), err)
		}
	})
}

// Waiting for mail: each is returned once, to whoever waits for that user; all are shown as they arrive.
func TestMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t)
		c.AddUser(profittest.User{ID: "ria", Email: "ria@example.com", Groups: []string{"payroll"}})
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		var watcher sync.WaitGroup
		watcher.Go(func() {
			for mail := range c.Mail(ctx) {
				seen = append(seen, mail.User)
			}
		})
		c.request(jan)
		c.request("ria")
		synctest.Wait()
		c.request("RIA@example.com")
		for i, user := range []string{"ria", jan, "ria"} {
			if mail, err := c.WaitMail(ctx, user); err != nil || mail.User != user {
				t.Errorf("mail %d: %+v, %v", i, mail, err)
			}
		}
		short, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		if mail, err := c.WaitMail(short, jan); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a mail twice: %+v, %v", mail, err)
		}
		synctest.Wait()
		cancel()
		watcher.Wait()
		if strings.Join(seen, " ") != jan+" ria ria" {
			t.Errorf("seen: %q", seen)
		}
	})
}

// Calls remember what a test wants to know about a client.
func TestCalls(t *testing.T) {
	c := newCaller(t)
	c.do("POST", base+"OtpRequest", c.fields(jan, ""), "IntegrationId", "12345_123456", "Accept-Language", "nl")
	c.do("GET", "https://12345.rest.afas.online/Nothing", "")
	calls := c.Calls()
	if len(calls) != 2 || c.Count("OtpRequest") != 1 || c.Count("") != 1 {
		t.Fatalf("%+v", calls)
	}
	calls[0].At = time.Time{}
	if want := (profittest.Call{Name: "OtpRequest", User: jan, IntegrationID: "12345_123456", Language: "nl", Status: 200}); calls[0] != want {
		t.Errorf("%+v, want %+v", calls[0], want)
	}
}

// Over TCP: no answer and no goroutine outlives the server, whatever a fault holds up.
func TestServerCloses(t *testing.T) {
	p := profittest.NewServer()
	p.Fault(profittest.Fault{Hold: make(chan struct{})})
	done := make(chan error, 1)
	go func() {
		r, _ := http.NewRequest("GET", p.URL()+"/ProfitVersion", nil)
		_, err := p.Transport().RoundTrip(r)
		done <- err
	}()
	for p.Count("ProfitVersion") == 0 {
		time.Sleep(time.Millisecond)
	}
	p.Close()
	p.Close()
	if err := <-done; err == nil {
		t.Error("a call that was held up got an answer")
	}
}
