package profit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/profitd/profitd/profit"
)

const (
	tokenData = "979D4C6F1F3A4E2D8B5C6A7988776655443322110FFEEDDCCBBAA99887766554"
	tokenText = "<token><version>1</version><data>" + tokenData + "</data></token>"
)

// A token comes with a line end that must not get into the Authorization header.
func TestParseToken(t *testing.T) {
	for _, text := range []string{tokenText, tokenText + "\r\n", "\n " + tokenText + " \t"} {
		token, err := profit.ParseToken(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if token.Secret() != tokenText {
			t.Errorf("Secret() = %q", token.Secret())
		}
		want := "AfasToken " + base64.StdEncoding.EncodeToString([]byte(tokenText))
		if token.Authorization() != want {
			t.Errorf("Authorization() = %q, want %q", token.Authorization(), want)
		}
		if token.Fingerprint() != "662d6512" {
			t.Errorf("Fingerprint() = %q", token.Fingerprint())
		}
	}
}

// Whatever is no token is refused, and not shown: it may be half a token.
func TestParseTokenRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"line end":       "\r\n",
		"prose":          "your token is ready",
		"version 2":      strings.Replace(tokenText, "1</v", "2</v", 1),
		"no data":        "<token><version>1</version><data></data></token>",
		"not hex":        strings.Replace(tokenText, "979D", "ZZZZ", 1),
		"cut short":      tokenText[:60],
		"two":            tokenText + tokenText,
		"line end in it": strings.Replace(tokenText, "<data>", "<data>\r\n", 1),
		"header forged":  tokenText + "\r\nX: y",
		"huge":           strings.Replace(tokenText, "979D", strings.Repeat("9", 1<<20), 1),
		"full-width":     strings.Replace(tokenText, "979D", "９79D", 1),
		"base64":         base64.StdEncoding.EncodeToString([]byte(tokenText)),
	} {
		t.Run(name, func(t *testing.T) {
			token, err := profit.ParseToken(text)
			if err == nil {
				t.Fatal("accepted")
			}
			if !token.IsZero() {
				t.Error("a token came with the error")
			}
			if strings.Contains(err.Error(), tokenData[4:20]) {
				t.Errorf("the error shows it: %v", err)
			}
		})
	}
}

func TestZeroToken(t *testing.T) {
	var token profit.Token
	if !token.IsZero() || token.Secret() != "" || token.Authorization() != "" || token.Fingerprint() != "" {
		t.Errorf("the zero token holds something: %q", token.Authorization())
	}
	if !profit.NewSecret("").IsZero() || profit.NewSecret("") != (profit.Secret{}) {
		t.Error("the empty secret is not the zero value")
	}
}

// Entries are compared by identity and generation: equal contents have to be equal values.
func TestEqual(t *testing.T) {
	a, b := mustToken(t), mustToken(t)
	c, d := profit.NewSecret(apiKey), profit.NewSecret(strings.Clone(apiKey))
	if a != b || c != d || c == profit.NewSecret("b") {
		t.Error("equality does not follow the contents")
	}
}

func mustToken(t testing.TB) profit.Token {
	t.Helper()
	token, err := profit.ParseToken(tokenText)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const apiKey = "8B44C0FFEE8B44C0FFEE8B44C0FFEE01"

// exposed holds secrets in each way a struct can; on the fields that are not exported fmt calls no method.
type exposed struct {
	Token   profit.Token
	Secret  profit.Secret
	Pointer *profit.Token
	List    []profit.Token
	Keys    map[profit.Token]profit.Secret
	Any     any
	token   profit.Token
	secret  profit.Secret
	hidden  struct{ list []profit.Secret }
}

func everything(t testing.TB) exposed {
	token, secret := mustToken(t), profit.NewSecret(apiKey)
	return exposed{
		Token: token, Secret: secret, Pointer: &token, List: []profit.Token{token},
		Keys: map[profit.Token]profit.Secret{token: secret}, Any: secret,
		token: token, secret: secret, hidden: struct{ list []profit.Secret }{[]profit.Secret{secret}},
	}
}

func checkHidden(t *testing.T, way, printed string) {
	t.Helper()
	for _, secret := range []string{tokenData, apiKey} {
		for _, form := range []string{
			secret,
			strings.ToLower(secret),
			fmt.Sprintf("%x", secret),
			fmt.Sprintf("%X", secret),
			strings.Trim(fmt.Sprintf("%v", []byte(secret)), "[]"),
			base64.StdEncoding.EncodeToString([]byte(secret))[:20],
		} {
			if strings.Contains(printed, form) {
				t.Errorf("%s shows a secret: %s", way, printed)
			}
		}
	}
}

// Every verb that fmt knows and some that it does not, with each flag: %p and fields that are not exported get past
// methods such as Format.
func TestNeverPrinted(t *testing.T) {
	all := everything(t)
	values := map[string]any{
		"token": all.Token, "secret": all.Secret, "pointer": &all.Token, "pointer to secret": &all.Secret,
		"struct": all, "pointer to struct": &all, "slice": all.List, "map": all.Keys,
		"error": fmt.Errorf("cannot use %v and %w", all, errors.Join(fmt.Errorf("%v", all.token))),
	}
	for name, value := range values {
		for verb := rune(' '); verb < 0x7f; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "200", ".99", "+#"} {
				format := "%" + flags + string(verb)
				checkHidden(t, name+" with "+format, fmt.Sprintf(format, value))
			}
		}
		checkHidden(t, name+" with Sprint", fmt.Sprint(value))
		checkHidden(t, name+" with a width from the arguments", fmt.Sprintf("%*.*v %[4]v", 99, 99, value, value))
	}
}

func TestNeverMarshalled(t *testing.T) {
	all := everything(t)
	check := func(way string, out []byte, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", way, err)
		}
		checkHidden(t, way, string(out))
		if len(out) == 0 {
			t.Errorf("%s gave nothing: the test proves nothing", way)
		}
	}
	out, err := json.Marshal(all)
	check("json", out, err)
	if !bytes.Contains(out, []byte(`"Token":"662d6512"`)) || !bytes.Contains(out, []byte(`"Secret":"[secret]"`)) {
		t.Errorf("json = %s", out)
	}
	type attributes struct {
		Token  profit.Token   `xml:"token,attr"`
		Secret profit.Secret  `xml:"secret"`
		List   []profit.Token `xml:"list"`
	}
	out, err = xml.Marshal(attributes{all.Token, all.Secret, all.List})
	check("xml", out, err)

	for _, value := range []any{all.Token, all.Secret, struct {
		T profit.Token
		S profit.Secret
	}{all.Token, all.Secret}} {
		var buffer bytes.Buffer
		err = gob.NewEncoder(&buffer).Encode(value)
		check("gob", buffer.Bytes(), err)
	}

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).With("with", all.Token).Info("message",
			"token", all.Token, "pointer", all.Pointer, "secret", all.Secret, "all", all, "list", all.List,
			slog.Group("group", "token", all.Token), "error", fmt.Errorf("%v", all))
	}
	check("slog", log.Bytes(), nil)
}

// A crash prints its argument and what lies on the stacks.
func TestNeverInPanics(t *testing.T) {
	if os.Getenv("PROFIT_TEST_PANIC") != "" {
		token := mustToken(t)
		secret := profit.NewSecret(apiKey)
		switch os.Getenv("PROFIT_TEST_PANIC") {
		case "token":
			panic(token)
		case "secret":
			panic(secret)
		case "struct":
			panic(everything(t))
		case "error":
			panic(fmt.Errorf("%v %v", token, secret))
		}
	}
	for _, what := range []string{"token", "secret", "struct", "error"} {
		command := exec.Command(os.Args[0], "-test.run=^TestNeverInPanics$")
		command.Env = append(os.Environ(), "PROFIT_TEST_PANIC="+what, "GOTRACEBACK=all")
		out, err := command.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic:")) {
			t.Fatalf("%s: no panic: %s", what, out)
		}
		checkHidden(t, "panic with a "+what, string(out))
	}
}
