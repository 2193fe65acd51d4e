// Simulator serves the simulated Profit of package profittest to programs that are really installed. It writes its
// root certificate to ca.pem, what the configuration needs to payroll.toml, and each mail's user and code as a line to
// mails, in the folder that its second argument names; its first is where to listen.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/profitd/profitd/profit/profittest"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: simulator ADDRESS FOLDER")
	}
	address, folder := os.Args[1], os.Args[2]
	l, err := net.Listen("tcp", address)
	check(err)
	p := profittest.NewServerOn(l)
	connector := p.AddConnector(profittest.Connector{Description: "Payroll desktop"})
	p.AddUser(profittest.User{ID: "12345.jan", Email: "jan@example.com"})
	mails, err := os.Create(filepath.Join(folder, "mails"))
	check(err)
	check(os.WriteFile(filepath.Join(folder, "ca.pem"), p.RootCA(), 0o644))
	check(os.WriteFile(filepath.Join(folder, "payroll.toml"), fmt.Appendf(nil, `[network]
ca_file = "ca.pem"

[connectors.payroll]
description = "Payroll desktop"
url = %q
api_key = %q
environment_key = %q

[[connectors.payroll.users]]
id = "12345.jan"
accounts = ["jan"]
`, p.URL(), connector.APIKey, connector.EnvironmentKey), 0o644))
	for mail := range p.Mail(context.Background()) {
		_, err := fmt.Fprintln(mails, mail.User, mail.Code)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
