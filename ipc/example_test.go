package ipc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/profitd/profitd/ipc"
)

// An application asks for its token before it calls Profit, and reports one that Profit refuses.
func Example() {
	ctx := context.Background()
	client := ipc.NewClient(ipc.ClientOptions{})
	defer client.Close()

	payroll := ipc.Ref{Connector: "payroll"} // an empty User is "my one user there"
	token, err := client.Token(ctx, payroll, ipc.TokenQuery{Wait: time.Minute})
	var problem *ipc.Error
	switch {
	case errors.As(err, &problem) && problem.Code == ipc.ActivationRequired:
		log.Fatal("Profit has mailed a code: enter it with profitctl activate")
	case err != nil:
		log.Fatal(err) // which says what to do next
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, token.BaseURL+"/connectors/Employees", nil)
	if err != nil {
		log.Fatal(err)
	}
	for name, value := range token.Headers { // all of them, whatever they are called
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusUnauthorized {
		_, err = client.Reject(ctx, ipc.Ref{Connector: token.Connector, User: token.User})
		log.Print("Profit refused the token: ", err)
	}
}

// A tool shows how entries change, as it happens.
func ExampleClient_Watch() {
	client := ipc.NewClient(ipc.ClientOptions{Socket: "/run/profitd/profitd.sock"})
	defer client.Close()

	for event, err := range client.Watch(context.Background()) {
		switch {
		case err != nil:
			log.Fatal(err)
		case event.Entry != nil:
			fmt.Println(event.Entry.Connector, event.Entry.User, event.Entry.State)
		case event.Removed != "":
			fmt.Println(event.Removed, "is gone")
		default:
			fmt.Println(len(event.Snapshot), "entries")
		}
	}
}
