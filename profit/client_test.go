package profit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

const user = "12345.jan"

// world is a simulated Profit with one connector and one user, and clients of it.
type world struct {
	*profittest.Server
	connector profittest.Connector
	network   *profit.Network
	rest      *profit.Client
	soap      *profit.Client
}

// newWorld starts a Profit behind real TLS.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: profittest.NewServer()}
	t.Cleanup(w.Close)
	w.connector = w.AddConnector(profittest.Connector{Description: "Payroll desktop", Group: "payroll"})
	w.AddUser(profittest.User{ID: user, Email: "jan@example.com", Groups: []string{"payroll"}})
	network, err := profit.NewNetwork(profit.NetworkOptions{RootCAs: w.RootCA(), Language: "nl", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	w.network = network
	w.rest, w.soap = network.Client(w.options()), network.Client(w.overSOAP("LAPTOP-0123"))
	return w
}

func (w *world) options() profit.Options {
	return profit.Options{
		BaseURL:        w.URL(),
		SOAPURL:        w.SOAPURL(),
		APIKey:         profit.NewSecret(w.connector.APIKey),
		EnvironmentKey: profit.NewSecret(w.connector.EnvironmentKey),
		IntegrationID:  "12345_123456",
	}
}

func (w *world) overSOAP(device string) profit.Options {
	o := w.options()
	o.UseSOAP, o.Device = true, device
	return o
}

func (w *world) token(t *testing.T) profit.Token {
	t.Helper()
	token, err := profit.ParseToken(w.IssueToken(w.connector.APIKey, user, "").XML)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// calls are all the calls there are, by the name that Profit gives them.
func (w *world) calls(t *testing.T) map[string]func(context.Context) error {
	code, token := profit.NewSecret("34264813"), w.token(t)
	return map[string]func(context.Context) error{
		"OtpRequest":      func(ctx context.Context) error { return w.rest.RequestOTP(ctx, user) },
		"OtpValidation":   func(ctx context.Context) error { _, err := w.rest.ValidateOTP(ctx, user, code); return err },
		"ProfitVersion":   func(ctx context.Context) error { _, err := w.rest.Version(ctx, token); return err },
		"MetaInfo":        func(ctx context.Context) error { _, err := w.rest.MetaInfo(ctx, token); return err },
		"GenerateOTP":     func(ctx context.Context) error { return w.soap.RequestOTP(ctx, user) },
		"GetTokenFromOTP": func(ctx context.Context) error { _, err := w.soap.ValidateOTP(ctx, user, code); return err },
		"DeleteToken":     func(ctx context.Context) error { return w.rest.DeleteToken(ctx, token) },
	}
}

func asError(t *testing.T, err error) *profit.Error {
	t.Helper()
	var e *profit.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a *profit.Error, got %T: %v", err, err)
	}
	return e
}

// The main job, once over each of the two services.
func TestCodeBecomesToken(t *testing.T) {
	for _, service := range []string{"rest", "soap"} {
		t.Run(service, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			w.SetBehaviour(profittest.Behaviour{TokenLifetime: 24 * time.Hour})
			client := map[string]*profit.Client{"rest": w.rest, "soap": w.soap}[service]
			if err := client.RequestOTP(ctx, user); err != nil {
				t.Fatal(err)
			}
			mail, err := w.WaitMail(ctx, user)
			if err != nil {
				t.Fatal(err)
			}
			token, err := client.ValidateOTP(ctx, user, profit.NewSecret(mail.Code))
			if err != nil {
				t.Fatal(err)
			}
			held := w.Tokens()[0]
			if token.Secret() != held.XML || token.Authorization() != held.Authorization() {
				t.Error("this is not the token that Profit issued")
			}
			if device := held.Device; (device == "LAPTOP-0123") != (service == "soap") {
				t.Errorf("the token's description is %q", device)
			}
			version, err := client.Version(ctx, token)
			if err != nil || version != "22.22.5" {
				t.Errorf("Version() = %q, %v", version, err)
			}
			info, err := client.MetaInfo(ctx, token)
			if err != nil || info.App != "Payroll desktop" || info.Group != "payroll" || info.Environment == "" ||
				info.RawExpiry != held.ExpiresAt.Format(time.DateOnly) || !info.Expiry.Equal(held.ExpiresAt.Truncate(24*time.Hour)) {
				t.Errorf("MetaInfo() = %+v, %v", info, err)
			}
			if _, err := client.ValidateOTP(ctx, user, profit.NewSecret(mail.Code)); err == nil {
				t.Error("a code worked twice")
			}
			if err := client.DeleteToken(ctx, token); err != nil {
				t.Fatal(err)
			}
			_, err = client.Version(ctx, token)
			if e := asError(t, err); e.Kind != profit.Unauthorized || e.Temporary() || e.Reached != profit.Yes {
				t.Errorf("after deletion: %+v", e)
			}
			for _, call := range w.Calls() {
				if call.IntegrationID != "12345_123456" || call.Language != "nl" {
					t.Errorf("%s went without integration id or language: %+v", call.Name, call)
				}
			}
		})
	}
}

// Every row of AFAS's table of answers, at every call.
func TestTableOfAnswers(t *testing.T) {
	rows := []struct {
		name      string
		answer    *profittest.Answer
		kind      profit.Kind
		message   string
		reference bool
		temporary bool
		wait      bool
		reached   profit.Reached
	}{
		{"400", profittest.Empty(400), profit.Missing, "", false, false, false, profit.Yes},
		{"401", profittest.Empty(401), profit.Unauthorized, "", false, false, false, profit.Yes},
		{"403", profittest.Empty(403), profit.IPRestricted, "", false, true, false, profit.Yes},
		{"404", profittest.Empty(404), profit.WrongURL, "", false, false, false, profit.Yes},
		{"404 HTML", profittest.HTML(404), profit.WrongURL, "", false, false, false, profit.Yes},
		{"500", profittest.Refusal("No such user."), profit.Refused, "No such user.", true, false, false, profit.Yes},
		{"500 empty", profittest.Empty(500), profit.Failed, "", false, true, false, profit.Yes},
		{"500 HTML", profittest.HTML(500), profit.Failed, "", false, true, false, profit.Yes},
		{"500 blank", &profittest.Answer{Status: 500, Body: `{"externalMessage": " \r\n"}`}, profit.Failed, "", false, true, false, profit.Yes},
		{"500 wrong types", &profittest.Answer{Status: 500, Body: `{"externalMessage": 5, "profitLogReference": []}`}, profit.Failed, "", false, true, false, profit.Yes},
		{"500 mixed types", &profittest.Answer{Status: 500, Body: `{"externalMessage": "No.", "error": 7, "retry_after": {}}`}, profit.Refused, "No.", false, false, false, profit.Yes},
		{"502", profittest.HTML(502), profit.Failed, "", false, true, false, profit.Maybe},
		{"503", profittest.Maintenance(2 * time.Hour), profit.Maintenance, "", false, true, true, profit.Yes},
		{"503 empty", profittest.Empty(503), profit.Maintenance, "", false, true, false, profit.Yes},
		{"504", profittest.Empty(504), profit.Failed, "", false, true, false, profit.Maybe},
		{"429", profittest.Empty(429), profit.Maintenance, "", false, true, false, profit.Yes},
		{"418", profittest.Empty(418), profit.Unexpected, "", false, false, false, profit.Yes},
	}
	w := newWorld(t)
	for call, do := range w.calls(t) {
		for _, row := range rows {
			t.Run(call+" "+row.name, func(t *testing.T) {
				w.Fault(profittest.Fault{Times: 1, Answer: row.answer})
				e := asError(t, do(t.Context()))
				if e.Kind != row.kind || e.Status != row.answer.Status || e.Message != row.message || e.Reached != row.reached {
					t.Errorf("%+v", e)
				}
				if (e.LogReference != "") != row.reference || e.Temporary() != row.temporary || e.RetryAt.IsZero() == row.wait {
					t.Errorf("reference %q, temporary %v, retry at %v", e.LogReference, e.Temporary(), e.RetryAt)
				}
				if !strings.HasPrefix(e.Error(), "cannot "+e.Op+": ") || row.reference && !strings.Contains(e.Error(), e.LogReference) {
					t.Errorf("Error() = %s", e)
				}
			})
		}
		if n := w.Count(call); n != len(rows) {
			t.Errorf("%s came %d times for %d answers", call, n, len(rows))
		}
	}
}

// A 2xx whose body is no answer. Asking for a code needs no body: there it is a success.
func TestGarbledBodies(t *testing.T) {
	body := func(text string) *profittest.Answer { return &profittest.Answer{Body: text} }
	faults := map[string]profittest.Fault{
		"garbage":      {Answer: profittest.Garbage()},
		"HTML":         {Answer: profittest.HTML(200)},
		"empty":        {Answer: profittest.Empty(200)},
		"204":          {Answer: profittest.Empty(204)},
		"null":         {Answer: body("null")},
		"a string":     {Answer: body(`"<token>"`)},
		"an array":     {Answer: body("[]")},
		"wrong fields": {Answer: body(`{"token": 5, "version": [], "info": "x"}`)},
		"no fields":    {Answer: body(`{}`)},
		"two values":   {Answer: body(`{"token":"x"} {"token":"y"}`)},
		"deep":         {Answer: body(strings.Repeat(`{"info":`, 200_000))},
		"deep XML":     {Answer: body(strings.Repeat(`<Envelope>`, 100_000))},
		"other SOAP":   {Answer: body(`<Envelope><Body><OtherResponse/></Body></Envelope>`)},
		"no token":     {Answer: body(`{"token": "soon"}`)},
		"a long one":   {Answer: body(strings.Repeat(" ", 1<<20) + `{"version": "1"}`)},
		"cut":          {Answer: body(`{"version": "22.22.5", "token": "x", "info": {}}`), Cut: profittest.CutBody},
		"not gzip":     {Answer: &profittest.Answer{Body: "{}", Header: map[string]string{"Content-Encoding": "gzip"}}},
	}
	w := newWorld(t)
	for call, do := range w.calls(t) {
		for name, fault := range faults {
			t.Run(call+" "+name, func(t *testing.T) {
				fault.Times = 1
				w.Fault(fault)
				err := do(t.Context())
				if call == "OtpRequest" || call == "GenerateOTP" {
					if err != nil {
						t.Errorf("the body of a 200 mattered: %v", err)
					}
					return
				}
				e := asError(t, err)
				if e.Kind != profit.Garbled || e.Reached != profit.Yes || !e.Temporary() || e.Err == nil || len(e.Error()) > 300 {
					t.Errorf("%+v: %v", e, e)
				}
			})
		}
	}
}

// A SOAP fault is a refusal with any status, and names the reference where it has one.
func TestSOAPFault(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.IssueToken(w.connector.APIKey, user, "LAPTOP-0123")
	e := asError(t, w.soap.RequestOTP(ctx, user))
	if e.Kind != profit.Refused || !strings.Contains(e.Message, "description") || len(e.LogReference) != 32 {
		t.Errorf("a description that is taken: %+v", e)
	}
	w.Fault(profittest.Fault{Answer: &profittest.Answer{Body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` +
		`<s:Fault><faultcode>s:Server</faultcode><faultstring>Out of order &amp; closed</faultstring></s:Fault></s:Body></s:Envelope>`}})
	for name, err := range map[string]error{
		"GenerateOTP": w.soap.RequestOTP(ctx, user),
		"DeleteToken": w.soap.DeleteToken(ctx, mustToken(t)),
	} {
		if e := asError(t, err); e.Kind != profit.Refused || e.Status != 200 || e.Message != "Out of order & closed" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// The later of header and body counts, for a day at most; what cannot be read counts for nothing.
func TestRetryAt(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name   string
		header func() string
		body   string
		want   time.Duration
	}{
		{"nothing", nil, ``, 0},
		{"seconds", func() string { return "120" }, ``, 2 * time.Minute},
		{"date", func() string { return in(time.Hour) }, ``, time.Hour},
		{"body", nil, `{"retry_after": 7200}`, 2 * time.Hour},
		{"body, a string", nil, `{"retry_after": "7200"}`, 2 * time.Hour},
		{"body, nested", nil, `{"error": {"retry_after": 60}}`, time.Minute},
		{"body, both", nil, `{"error": {"retry_after": 60}, "retry_after": 30}`, time.Minute},
		{"header later", func() string { return "120" }, `{"retry_after": 60}`, 2 * time.Minute},
		{"body later", func() string { return in(time.Minute) }, `{"retry_after": 7200}`, 2 * time.Hour},
		{"past", func() string { return in(-time.Hour) }, `{"retry_after": -5}`, 0},
		{"a year", func() string { return in(365 * 24 * time.Hour) }, ``, 24 * time.Hour},
		{"huge", func() string { return "99999999999999999999" }, `{"retry_after": 1e300}`, 24 * time.Hour},
		{"infinite", func() string { return "Inf" }, ``, 24 * time.Hour},
		{"no number", func() string { return "NaN" }, `{"retry_after": "soon"}`, 0},
		{"wrong type", nil, `{"retry_after": true, "error": []}`, 0},
		{"cut", nil, `{"retry_after": 7200`, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := profittest.NewProfit()
				answer := &profittest.Answer{Status: 503, Body: test.body}
				if test.header != nil {
					answer.Header = map[string]string{"Retry-After": test.header()}
				}
				p.Fault(profittest.Fault{Answer: answer})
				e := asError(t, inProcess(t, p, 0).RequestOTP(t.Context(), user))
				got := time.Duration(0)
				if !e.RetryAt.IsZero() {
					got = time.Until(e.RetryAt)
				}
				if got != test.want {
					t.Errorf("wait %v, want %v", got, test.want)
				}
			})
		})
	}
}

// inProcess is a client of a Profit without sockets.
func inProcess(t *testing.T, p *profittest.Profit, timeout time.Duration) *profit.Client {
	t.Helper()
	t.Cleanup(p.Close)
	network, err := profit.NewNetwork(profit.NetworkOptions{Transport: p.Transport(), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return network.Client(profit.Options{
		BaseURL: "https://12345.rest.afas.online/ProfitRestServices",
		SOAPURL: "https://12345.soap.afas.online/ProfitServices",
		APIKey:  profit.NewSecret("key"), EnvironmentKey: profit.NewSecret("environment"),
	})
}

// A redirect, to plain http above all, would carry the keys to whoever it names.
func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	w := newWorld(t)
	for call, do := range w.calls(t) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, to := range []string{elsewhere.URL, w.URL() + "/ProfitVersion"} {
				answer := profittest.Redirect(to)
				answer.Status = status
				w.Fault(profittest.Fault{Times: 1, Answer: answer})
				before := len(w.Calls())
				e := asError(t, do(t.Context()))
				if e.Kind != profit.Redirected || e.Status != status || e.Temporary() {
					t.Errorf("%s, %d: %+v", call, status, e)
				}
				if n := len(w.Calls()) - before; n != 1 {
					t.Errorf("%s, %d: %d requests", call, status, n)
				}
			}
		}
	}
	if followed.Load() != 0 {
		t.Errorf("%d redirects were followed to plain http", followed.Load())
	}
}

// Whatever an answer echoes, in any case and whichever part of it, no error shows a secret that was sent.
func TestErrorsShowNoSecret(t *testing.T) {
	w := newWorld(t)
	token := w.token(t)
	const code = "34264813"
	secrets := []string{w.connector.APIKey, w.connector.EnvironmentKey, code, token.Secret(), token.Authorization()[10:], token.Secret()[40:90]}
	echo := strings.Join(secrets, " / ") + strings.ToLower(strings.Join(secrets, ""))
	quoted := fmt.Sprintf("%q", echo)
	answers := []*profittest.Answer{
		profittest.Refusal(echo),
		{Status: 500, Body: `{"externalMessage": "x", "profitLogReference": ` + quoted + `}`},
		{Status: 401, Body: `{"externalMessage": ` + quoted + `}`},
		{Status: 500, Body: `<Envelope><Body><Fault><faultstring>` + strings.NewReplacer("<", "&lt;").Replace(echo) + `</faultstring></Fault></Body></Envelope>`},
		{Body: echo},
		{Body: `{"token": ` + quoted + `, "version": "", "info": null}`},
		{Status: 302, Header: map[string]string{"Location": "http://example.com/" + code + w.connector.APIKey}},
	}
	run := map[string]func(context.Context) error{
		"OtpRequest": func(ctx context.Context) error { return w.rest.RequestOTP(ctx, user) },
		"OtpValidation": func(ctx context.Context) error {
			_, err := w.rest.ValidateOTP(ctx, user, profit.NewSecret(code))
			return err
		},
		"GenerateOTP": func(ctx context.Context) error { return w.soap.RequestOTP(ctx, user) },
		"GetTokenFromOTP": func(ctx context.Context) error {
			_, err := w.soap.ValidateOTP(ctx, user, profit.NewSecret(code))
			return err
		},
		"ProfitVersion": func(ctx context.Context) error { _, err := w.rest.Version(ctx, token); return err },
		"MetaInfo":      func(ctx context.Context) error { _, err := w.rest.MetaInfo(ctx, token); return err },
		"DeleteToken":   func(ctx context.Context) error { return w.soap.DeleteToken(ctx, token) },
	}
	sent := map[string][]string{
		"OtpRequest": secrets[:2], "GenerateOTP": secrets[:2], "OtpValidation": secrets[:3], "GetTokenFromOTP": secrets[:3],
		"ProfitVersion": secrets[3:], "MetaInfo": secrets[3:], "DeleteToken": secrets[3:],
	}
	for call, do := range run {
		for i, answer := range answers {
			w.Fault(profittest.Fault{Times: 1, Answer: answer})
			err := do(t.Context())
			if err == nil {
				continue
			}
			for printed := range slices.Values([]string{err.Error(), fmt.Sprintf("%#v %+v", err, asError(t, err).Err)}) {
				for _, secret := range sent[call] {
					if strings.Contains(strings.ToLower(printed), strings.ToLower(secret)) {
						t.Errorf("%s, answer %d: the error shows a secret: %s", call, i, printed)
					}
				}
			}
		}
	}
}

// What Profit says can neither forge a line of a log nor steer a terminal, and is of bounded length.
func TestMessageIsOneHarmlessLine(t *testing.T) {
	w := newWorld(t)
	w.Fault(profittest.Fault{Answer: profittest.Refusal("Geen\r\n toegang\x1b[31m \u202e\u200b\x00tot \u0085caf\u00e9 " + strings.Repeat("x", 1<<16))})
	e := asError(t, w.rest.RequestOTP(t.Context(), user))
	if want := "Geen toegang[31m tot café xxx"; !strings.HasPrefix(e.Message, want) || len(e.Message) > 510 {
		t.Errorf("Message = %.80q", e.Message)
	}
}

// Clients that cannot work say so instead of panicking or calling somebody else.
func TestNotConfigured(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	with := func(change func(*profit.Options)) *profit.Client {
		o := w.options()
		change(&o)
		return w.network.Client(o)
	}
	for name, err := range map[string]error{
		"zero client":     new(profit.Client).RequestOTP(ctx, user),
		"zero network":    new(profit.Network).Client(w.options()).RequestOTP(ctx, user),
		"no URL":          with(func(o *profit.Options) { o.BaseURL = "" }).RequestOTP(ctx, user),
		"plain http":      with(func(o *profit.Options) { o.BaseURL = strings.Replace(w.URL(), "https", "http", 1) }).RequestOTP(ctx, user),
		"no SOAP URL":     with(func(o *profit.Options) { o.SOAPURL = "" }).DeleteToken(ctx, mustToken(t)),
		"plain http SOAP": with(func(o *profit.Options) { o.SOAPURL = "http://localhost/" }).DeleteToken(ctx, mustToken(t)),
		"forged header":   with(func(o *profit.Options) { o.IntegrationID = "1\r\nX: y" }).RequestOTP(ctx, user),
	} {
		if e := asError(t, err); e.Kind != profit.NotConfigured || e.Reached != profit.No || e.Temporary() {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := len(w.Calls()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}
