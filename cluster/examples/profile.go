// A service in Go that asks Sojourn who somebody is. Nothing but the standard library.
//
//	go run profile.go
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Person is whoever signed in on Sojourn's pages.
type Person struct {
	ID        string   `json:"id"`
	Email     string   `json:"email"`
	FirstName string   `json:"first_name"`
	Groups    []string `json:"groups"`
}

var (
	sojourn = setting("SOJOURN", "http://localhost:3000")
	client  = &http.Client{Timeout: 5 * time.Second}
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// whoIs passes on the cookie of a browser or the bearer token of a program. It is nobody when both results are nil.
func whoIs(request *http.Request) (*Person, error) {
	ask, err := http.NewRequestWithContext(request.Context(), http.MethodGet, sojourn+"/profile", nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Cookie", "Authorization"} {
		if value := request.Header.Get(name); value != "" {
			ask.Header.Set(name, value)
		}
	}
	answer, err := client.Do(ask)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		person := &Person{}
		return person, json.NewDecoder(answer.Body).Decode(person)
	case http.StatusUnauthorized:
		return nil, nil
	default:
		return nil, fmt.Errorf("sojourn answers %s", answer.Status)
	}
}

func index(writer http.ResponseWriter, request *http.Request) {
	person, err := whoIs(request)
	switch {
	case err != nil:
		http.Error(writer, err.Error(), http.StatusServiceUnavailable)
	case person == nil && request.Header.Get("Authorization") != "":
		http.Error(writer, "who are you?", http.StatusUnauthorized)
	case person == nil:
		here := "http://" + request.Host + request.URL.RequestURI()
		http.Redirect(writer, request, sojourn+"/login?next="+url.QueryEscape(here), http.StatusSeeOther)
	default:
		writer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(writer).Encode(map[string]*Person{"user": person})
	}
}

func main() {
	http.HandleFunc("/", index)
	address := "127.0.0.1:" + setting("PORT", "4002")
	fmt.Println("http://" + address)
	log.Fatal(http.ListenAndServe(address, nil))
}
