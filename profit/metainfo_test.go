package profit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

// The format of tokenExpiry is not documented. What is not understood is no expiry, and is kept as it came.
func TestExpiry(t *testing.T) {
	may := time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		json string
		want time.Time
	}{
		{`"0"`, time.Time{}},
		{`0`, time.Time{}},
		{`""`, time.Time{}},
		{`null`, time.Time{}},
		{`"never"`, time.Time{}},
		{`"0001-01-01T00:00:00"`, time.Time{}},
		{`"-5"`, time.Time{}},
		{`"99999999999999999999"`, time.Time{}},
		{`["2027-05-01"]`, time.Time{}},
		{`"2027-05-01"`, may},
		{`" 2027-05-01 "`, may},
		{`"01-05-2027"`, may},
		{`"1-5-2027"`, may},
		{`"20270501"`, may},
		{`"2027-05-01T00:00:00"`, may},
		{`"2027-05-01T00:00:00.000"`, may},
		{`"2027-05-01T02:00:00+02:00"`, may},
		{`"01-05-2027 00:00:00"`, may},
		{fmt.Sprint(may.Unix()), may},
		{fmt.Sprintf(`"%d"`, may.Unix()), may},
		{fmt.Sprintf(`"%d"`, may.UnixMilli()), may},
	}
	p := profittest.NewProfit()
	c := inProcess(t, p, 0)
	for _, test := range tests {
		p.ClearFaults()
		p.Fault(profittest.Fault{Answer: &profittest.Answer{Body: `{"info": {"envid": "O12345AA", "tokenExpiry": ` + test.json + `}}`}})
		info, err := c.MetaInfo(t.Context(), mustToken(t))
		if err != nil || !info.Expiry.Equal(test.want) || info.Environment != "O12345AA" {
			t.Errorf("%s: %+v, %v", test.json, info, err)
		}
		if !test.want.IsZero() && info.RawExpiry == "" {
			t.Errorf("%s: the raw value is lost", test.json)
		}
	}
}

func TestURL(t *testing.T) {
	rest, err := profit.BaseURL("12345", "production")
	if err != nil || rest != "https://12345.rest.afas.online/ProfitRestServices" {
		t.Errorf("%q, %v", rest, err)
	}
	soap, err := profit.SOAPURL("12345", "cursus")
	if err != nil || soap != "https://12345.soapcursus.afas.online/ProfitServices" {
		t.Errorf("%q, %v", soap, err)
	}
	for _, bad := range [][2]string{{"1234", "test"}, {"123456", "test"}, {"1234a", "test"}, {"12345", "Test"}, {"12345", ""}, {"", "test"}} {
		if _, err := profit.BaseURL(bad[0], bad[1]); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// A token belongs to its URL: spellings of one must not make two.
func TestNormalizeURL(t *testing.T) {
	for _, same := range []string{
		"https://12345.rest.afas.online/profitrestservices", "HTTPS://12345.REST.afas.online:443/ProfitRestServices/",
		"https://12345.rest.afas.online/PROFITRESTSERVICES//",
	} {
		if got, err := profit.NormalizeURL(same); err != nil || got != "https://12345.rest.afas.online/profitrestservices" {
			t.Errorf("%s: %q, %v", same, got, err)
		}
	}
	for _, bad := range []string{
		"", "12345", "http://12345.rest.afas.online/", "ftp://x/", "https:", "https:///x", "https://:443/x", "https://u:p@x/",
		"https://x/?a=b", "https://x/#a", "https://x/?", "//x/y", "https://x\r\n/", "https:x",
	} {
		if got, err := profit.NormalizeURL(bad); err == nil {
			t.Errorf("%q is accepted as %q", bad, got)
		}
	}
}
