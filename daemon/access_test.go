package daemon

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
)

// parsed is a configuration of these tables.
func parsed(t testing.TB, text string) *config.Config {
	t.Helper()
	conf, err := config.Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatalf("the configuration is not in order: %v\n%s", err, text)
	}
	return conf
}

// ruled is a Daemon as far as the rules are concerned.
func ruled(t testing.TB, soleOwner, text string) *Daemon {
	t.Helper()
	d := &Daemon{options: Options{SoleOwner: soleOwner}}
	d.inForce.Store(newForce(parsed(t, text), soleOwner))
	return d
}

const payrollKeys = "environment = \"12345\"\napi_key = \"AAAA\"\nenvironment_key = \"BBBB\"\n"
const stockKeys = "environment = \"12345\"\napi_key = \"CCCC\"\nenvironment_key = \"BBBB\"\n"

// person is a peer by its accounts, and behind a "+" its groups. The first account is what it is called.
func person(forms ...string) *ipc.Peer {
	peer := &ipc.Peer{Account: forms[0]}
	for _, form := range forms {
		if group, found := strings.CutPrefix(form, "+"); found {
			peer.Groups = append(peer.Groups, group)
		} else {
			peer.Accounts = append(peer.Accounts, form)
		}
	}
	return peer
}

func TestRoles(t *testing.T) {
	const table = `
[helpdesk]
accounts = ["ria", "CORP\\help"]
groups = ["helpdesk", "gid:77"]
[connectors.payroll]
` + payrollKeys
	templates := "[[connectors.payroll.users]]\nid = \"12345.{name}\"\naccounts = [\"CORP\\\\*\", \"*@corp.example\"]\ngroups = [\"fleet\"]\n"
	domains := "[[connectors.payroll.users]]\nid = \"{domain}.{name}\"\naccounts = [\"CORP\\\\*\"]\n"
	upns := "[[connectors.payroll.users]]\nid = \"{upn}\"\ngroups = [\"fleet\"]\n"
	const nobody, local, helpdesk, owner = ipc.Role(0), ipc.Local, ipc.Local | ipc.Helpdesk, ipc.Local | ipc.Owner
	jan := "12345.jan"
	for name, test := range map[string]struct {
		lines string
		peer  *ipc.Peer
		user  string
		want  ipc.Role
	}{
		"named by account":                     {line("payroll", jan, "jan"), person("jan", "uid:1000"), jan, owner},
		"another account":                      {line("payroll", jan, "jan"), person("piet", "uid:1001"), jan, local},
		"another user of the connector":        {line("payroll", jan, "jan") + line("payroll", "12345.piet", "piet"), person("jan"), "12345.piet", local},
		"named by uid":                         {line("payroll", jan, "uid:1000"), person("jan", "uid:1000"), jan, owner},
		"a name that looks like a uid's tail":  {line("payroll", jan, "uid:1000"), person("1000", "uid:5"), jan, local},
		"a uid that only begins alike":         {line("payroll", jan, "uid:100"), person("jan", "uid:1000"), jan, local},
		"named by SID":                         {line("payroll", jan, "S-1-5-21-1-2-3-1001"), person(`CORP\jan`, "S-1-5-21-1-2-3-1001"), jan, owner},
		"named by domain and name":             {line("payroll", jan, `CORP\jan`), person("jan", `CORP\jan`), jan, owner},
		"of another domain":                    {line("payroll", jan, `CORP\jan`), person(`LAB\jan`, "jan"), jan, local},
		"named by UPN":                         {line("payroll", jan, "jan@corp.example"), person(`CORP\jan`, "jan@corp.example"), jan, owner},
		"named by group":                       {line("payroll", jan, "+staff"), person("jan", "+staff", "+gid:100"), jan, owner},
		"named by gid":                         {line("payroll", jan, "+gid:100"), person("jan", "+gid:100"), jan, owner},
		"an account called as the group":       {line("payroll", jan, "+staff"), person("staff"), jan, local},
		"a group called as the account":        {line("payroll", jan, "jan"), person("piet", "+jan"), jan, local},
		"no such user":                         {line("payroll", jan, "jan"), person("jan"), "12345.nobody", local},
		"any user of the connector":            {line("payroll", jan, "jan"), person("jan"), "", owner},
		"no user of the connector":             {line("payroll", jan, "jan"), person("piet"), "", local},
		"helpdesk by account":                  {line("payroll", jan, "jan"), person("ria"), jan, helpdesk},
		"helpdesk by domain and name":          {line("payroll", jan, "jan"), person("help", `CORP\help`), jan, helpdesk},
		"helpdesk by group":                    {line("payroll", jan, "jan"), person("els", "+helpdesk"), jan, helpdesk},
		"helpdesk by gid":                      {line("payroll", jan, "jan"), person("els", "+gid:77"), jan, helpdesk},
		"helpdesk and owner":                   {line("payroll", jan, "ria"), person("ria"), jan, helpdesk | ipc.Owner},
		"root":                                 {line("payroll", jan, "jan"), admin, jan, helpdesk},
		"root, named":                          {line("payroll", jan, "root"), admin, jan, helpdesk | ipc.Owner},
		"root of what does not exist":          {line("payroll", jan, "jan"), admin, "12345.nobody", helpdesk},
		"who cannot be identified":             {line("payroll", jan, "jan"), &ipc.Peer{Account: "jan", Accounts: []string{"jan"}, Admin: true, Anonymous: true}, jan, nobody},
		"template by domain":                   {templates, person("jan", `CORP\jan`), jan, owner},
		"template by UPN's domain":             {templates, person("jan@corp.example"), jan, owner},
		"template, another's":                  {templates, person(`CORP\piet`), jan, local},
		"template, another domain":             {templates, person(`LAB\jan`), jan, local},
		"template, a domain that ends alike":   {templates, person(`XCORP\jan`), jan, local},
		"template, an account without domain":  {templates, person("jan"), jan, local},
		"template by group":                    {templates, person("jan", "+fleet"), jan, owner},
		"template by uid":                      {"[[connectors.payroll.users]]\nid = \"12345.{name}\"\naccounts = [\"uid:1000\"]\ngroups = [\"x\"]\n", person("jan", "uid:1000"), jan, owner},
		"template by group, another's":         {templates, person("piet", "+fleet"), jan, local},
		"template by group, no name known":     {templates, person("uid:1000", "+fleet"), "12345.uid:1000", local},
		"template by group, a SID alone":       {templates, person("S-1-5-21-1-2-3-4", "+fleet"), "12345.S-1-5-21-1-2-3-4", local},
		"template, any user":                   {templates, person(`CORP\jan`), "", owner},
		"template, a name that is a pattern":   {templates, person(`CORP\{domain}`), "12345.{domain}", owner},
		"template with domain":                 {domains, person("jan", `CORP\jan`), "CORP.jan", owner},
		"template with domain, another's":      {domains, person("jan", `CORP\jan`), "LAB.jan", local},
		"template with UPN":                    {upns, person(`CORP\jan`, "jan@corp.example", "+fleet"), "jan@corp.example", owner},
		"template with UPN, none known":        {upns, person(`CORP\jan`, "+fleet"), "{upn}", local},
		"template with domain, none known":     {strings.Replace(domains, "accounts = [\"CORP\\\\*\"]", "groups = [\"fleet\"]", 1), person("jan", "+fleet"), ".jan", local},
		"a line wins over a template":          {templates + line("payroll", "12345.els", `CORP\jan`), person(`CORP\jan`), jan, local},
		"a line wins over a template, its own": {templates + line("payroll", "12345.els", `CORP\jan`), person(`CORP\jan`), "12345.els", owner},
		"a group's line does not":              {templates + line("payroll", "12345.els", "+staff"), person(`CORP\jan`, "+staff"), jan, owner},
		"a user written out is its line's":     {templates + line("payroll", jan, "els"), person(`CORP\jan`), jan, local},
		"root of a template":                   {templates, admin, jan, helpdesk},
	} {
		t.Run(name, func(t *testing.T) {
			d := ruled(t, "", table+test.lines)
			if got := d.Roles(test.peer, payroll(test.user)); got != test.want {
				t.Errorf("roles %03b, want %03b", got, test.want)
			}
			explained := explain(t, d, test.peer, test.user)
			if explained.Allowed != (test.user != "" && test.want&ipc.Owner != 0) {
				t.Errorf("explained otherwise: %+v", explained)
			}
			if got := d.Roles(test.peer, ipc.Ref{Connector: "stock", User: test.user}); got&ipc.Owner != 0 {
				t.Errorf("owner in a connector that is not there")
			}
		})
	}
}

// A "*" stands for a name, not for none, and what stands around it is not the same letters twice.
func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, form string
		want          bool
	}{
		{"jan", "jan", true}, {"jan", "jann", false}, {`CORP\*`, `CORP\jan`, true}, {`CORP\*`, `CORP\`, false},
		{"*@corp.example", "jan@corp.example", true}, {"*@corp.example", "@corp.example", false},
		{"*@corp.example", "jan@corp.example.org", false}, {"aba*aba", "ababa", false},
	} {
		if matches(test.pattern, test.form) != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.form, !test.want)
		}
	}
}

func explain(t testing.TB, d *Daemon, peer *ipc.Peer, user string) ipc.Explanation {
	t.Helper()
	explained, err := d.Explain(t.Context(), peer, payroll(user), "")
	if err != nil {
		t.Fatal(err)
	}
	return explained
}

func TestSoleOwner(t *testing.T) {
	d := ruled(t, "uid:1000", "[helpdesk]\naccounts=[\"els\"]\n[connectors.payroll]\n"+payrollKeys+line("payroll", "12345.jan", "piet", "+staff"))
	owner := person("jan", "uid:1000")
	for _, ref := range []ipc.Ref{{}, payroll(""), payroll("12345.jan")} {
		if d.Roles(owner, ref)&ipc.Owner == 0 {
			t.Errorf("the owner does not own %q", ref)
		}
		for _, other := range []*ipc.Peer{person("piet", "uid:1001", "+staff"), admin, person("els", "uid:3")} {
			if d.Roles(other, ref)&ipc.Owner != 0 {
				t.Errorf("%s owns %q", other.Account, ref)
			}
		}
	}
	if d.Roles(owner, payroll("12345.nobody"))&ipc.Owner != 0 || d.Roles(owner, ipc.Ref{Connector: "stock"})&ipc.Owner != 0 {
		t.Errorf("the owner owns what is not there")
	}
}

// Without any configuration nobody owns anything, and root is helpdesk.
func TestRolesWithoutConfiguration(t *testing.T) {
	d := &Daemon{}
	d.inForce.Store(newForce(nil, ""))
	if got := d.Roles(admin, ipc.Ref{}); got != ipc.Local|ipc.Helpdesk {
		t.Errorf("root: %03b", got)
	}
	for _, ref := range []ipc.Ref{{}, payroll(""), payroll("12345.jan")} {
		if got := d.Roles(person("jan"), ref); got != ipc.Local {
			t.Errorf("jan: %03b for %q", got, ref)
		}
	}
}

// For any configuration and caller, explain, Roles, the list and "my one user" say the same.
func TestRulesAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	names := []string{"jan", "piet", "els"}
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	accounts := []string{"jan", "piet", "els", `CORP\jan`, `CORP\piet`, `LAB\jan`, "jan@corp.example", "uid:1000", "uid:1001"}
	groups := []string{"staff", "fleet", "gid:100"}
	owners := 0
	for round := range 400 {
		var text strings.Builder
		text.WriteString("[helpdesk]\ngroups=[\"gid:100\"]\n")
		users := map[string]bool{}
		for connector, keys := range map[string]string{"payroll": payrollKeys, "stock": stockKeys} {
			fmt.Fprintf(&text, "[connectors.%s]\n%s", connector, keys)
			written := map[string]bool{}
			for range random.IntN(4) {
				id := pick([]string{"1.jan", "1.piet", "1.els", "1.{name}", "{domain}.{name}", "{upn}"})
				if written[id] {
					continue
				}
				written[id] = true
				holders := []string{pick(accounts), "+" + pick(groups)}
				if strings.Contains(id, "{") && random.IntN(2) == 0 {
					holders = append(holders, pick([]string{`CORP\*`, `*@corp.example`}))
				}
				text.WriteString(line(connector, id, holders[random.IntN(2):]...))
			}
		}
		sole := ""
		if random.IntN(5) == 0 {
			sole = "uid:1000"
		}
		d := ruled(t, sole, text.String())
		f := d.inForce.Load()
		for _, x := range f.all() {
			x.handle = new(enrol.Handle)
		}
		for _, name := range names {
			users["1."+name], users["CORP."+name], users["LAB."+name] = true, true, true
			users["corp.example."+name], users[name+"@corp.example"] = true, true
		}
		for range 10 {
			forms := []string{pick(accounts)}
			for range random.IntN(3) {
				forms = append(forms, pick(accounts), "+"+pick(groups))
			}
			peer := person(forms...)
			peer.Admin, peer.Anonymous = random.IntN(10) == 0, random.IntN(20) == 0
			var all []ipc.Ref
			for _, connector := range []string{"payroll", "stock"} {
				var owned []ipc.Ref
				for user := range users {
					ref := ipc.Ref{Connector: connector, User: user}
					owns := d.Roles(peer, ref)&ipc.Owner != 0
					explained, _ := d.Explain(t.Context(), peer, ref, "")
					if explained.Allowed != owns || explained.Allowed == (explained.By == "") || explained.Detail == "" {
						t.Fatalf("round %d: %v owns %s: %v, but it is explained as %+v\n%s", round, forms, ref, owns, explained, text.String())
					}
					if owns {
						owners++
						owned = append(owned, ref)
					}
				}
				if any := d.Roles(peer, ipc.Ref{Connector: connector})&ipc.Owner != 0; any != (len(owned) > 0) {
					t.Fatalf("round %d: %v owns any of %s: %v, but of its users %v\n%s", round, forms, connector, any, owned, text.String())
				}
				only, err := f.only(peer, connector)
				if len(owned) == 1 && only != owned[0] || len(owned) > 1 && failure(err) != ipc.AmbiguousUser || len(owned) == 0 && failure(err) != ipc.Denied {
					t.Fatalf("round %d: the one user is %v, %v, of %v", round, only, err, owned)
				}
				all = append(all, owned...)
			}
			if any := d.Roles(peer, ipc.Ref{})&ipc.Owner != 0; any != (len(all) > 0) {
				t.Fatalf("round %d: owns anything: %v, but %v", round, any, all)
			}
			listed := slices.Collect(f.owned(peer, ""))
			for _, ref := range all {
				if !slices.Contains(listed, ref) {
					t.Fatalf("round %d: %v is not listed among %v", round, ref, listed)
				}
			}
			for _, ref := range listed {
				if !slices.Contains(all, ref) {
					t.Fatalf("round %d: %v is listed, of %v", round, ref, all)
				}
			}
		}
	}
	if owners < 1000 {
		t.Errorf("only %d owners came up: this proves little", owners)
	}
}

// What a caller without a right learns about itself shows nothing of what there is.
func TestExplain(t *testing.T) {
	d := ruled(t, "", "[connectors.payroll]\n"+payrollKeys+line("payroll", "12345.jan", "jan")+
		"[[connectors.payroll.users]]\nid = \"{name}.t\"\naccounts = [\"CORP\\\\*\"]\n")
	els := person("els")
	there := explain(t, d, els, "12345.jan")
	if missing := explain(t, d, els, "12345.nobody"); missing != there {
		t.Errorf("it tells them apart:\n%+v\n%+v", there, missing)
	}
	nowhere, _ := d.Explain(t.Context(), els, ipc.Ref{Connector: "stock", User: "12345.jan"}, "")
	if nowhere != there || there.Change == "" || there.By != "" {
		t.Errorf("it tells them apart:\n%+v\n%+v", there, nowhere)
	}
	if got := explain(t, d, person("jan"), "12345.jan"); got.By != "config.toml:5" {
		t.Errorf("allowed by %q", got.By)
	}
	if got := explain(t, d, person(`CORP\piet`), "piet.t"); got.By != "config.toml:9" {
		t.Errorf("allowed by %q", got.By)
	}
	// The helpdesk asks about others, and is told where.
	ask := func(ref ipc.Ref, account string) ipc.Explanation {
		t.Helper()
		explained, err := d.Explain(t.Context(), admin, ref, account)
		if err != nil {
			t.Fatal(err)
		}
		return explained
	}
	if got := ask(payroll("12345.jan"), ""); got.Allowed || !strings.Contains(got.Change, "config.toml:5") || !strings.Contains(got.Detail, "Administrators") {
		t.Errorf("of an entry: %+v", got)
	}
	if got := ask(payroll("12345.nobody"), ""); !strings.Contains(got.Detail, "no such user") {
		t.Errorf("of a user that is not there: %+v", got)
	}
	if got := ask(ipc.Ref{Connector: "stock", User: "1.x"}, ""); !strings.Contains(got.Detail, "no such connector") {
		t.Errorf("of a connector that is not there: %+v", got)
	}
	_, err := d.Explain(t.Context(), admin, payroll("12345.jan"), "nobody-is-called-so")
	if failure(err) != ipc.InvalidRequest {
		t.Errorf("of an unknown account: %v", err)
	}
	// A line wins over a template: that is worth saying.
	d = ruled(t, "", "[helpdesk]\naccounts = [\"CORP\\\\jan\"]\n[connectors.payroll]\n"+payrollKeys+line("payroll", "12345.els", `CORP\jan`)+
		"[[connectors.payroll.users]]\nid = \"{name}.t\"\naccounts = [\"CORP\\\\*\"]\n")
	if got := explain(t, d, person(`CORP\jan`), "jan.t"); got.Allowed || !strings.Contains(got.Detail, "template") {
		t.Errorf("of what a template would make: %+v", got)
	}
}

// Over the socket: root sees and resets but gets no token; what somebody else may not have looks as what is not there.
func TestRightsOverTheSocket(t *testing.T) {
	t.Parallel()
	v := newDevice(t)
	v.write("[helpdesk]\naccounts = [\"" + self() + "\"]\n" + v.connector("payroll", "", line("payroll", "12345.jan", "somebody-else")))
	r := v.start()
	jan := payroll("12345.jan")
	r.until(jan, ipc.AwaitingCode)
	code, _ := ipc.ParseActivationCode("12345678")
	for name, call := range map[string]func(ipc.Ref) error{
		"token":    func(ref ipc.Ref) error { _, err := r.token(ref); return err },
		"activate": func(ref ipc.Ref) error { _, err := r.client.Activate(t.Context(), ref, code); return err },
		"reject":   func(ref ipc.Ref) error { _, err := r.client.Reject(t.Context(), ref); return err },
	} {
		there := v.wantFailure(call(jan), ipc.Denied)
		missing := v.wantFailure(call(payroll("12345.nobody")), ipc.Denied)
		if *there != *missing {
			t.Errorf("%s tells them apart:\n%+v\n%+v", name, there, missing)
		}
	}
	if _, err := r.client.Code(t.Context(), jan); failure(err) != "" {
		t.Errorf("the helpdesk cannot ask for a code: %v", err)
	}
	entries, err := r.client.Entries(t.Context())
	v.must(err)
	if len(entries) != 1 || !slices.Equal(entries[0].Accounts, []string{"somebody-else"}) {
		t.Errorf("the helpdesk sees %+v", entries)
	}
}
