// redigo as boj/redistore (gorilla sessions) and alexedwards/scs use it: redigo HOST PORT [PORT2 | -] [USER PASSWORD]
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/boj/redistore"
	"github.com/gomodule/redigo/redis"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(one, other interface{}) {
	if fmt.Sprint(one) != fmt.Sprint(other) {
		panic(fmt.Sprintf("%v is not %v", one, other))
	}
}

func pool(address, user, password string) *redis.Pool {
	options := []redis.DialOption{redis.DialDatabase(0)}
	if password != "" {
		options = append(options, redis.DialPassword(password))
		if user != "default" {
			options = append(options, redis.DialUsername(user))
		}
	}
	return &redis.Pool{
		MaxIdle: 4,
		Dial:    func() (redis.Conn, error) { return redis.Dial("tcp", address, options...) },
		TestOnBorrow: func(c redis.Conn, _ time.Time) error {
			_, err := c.Do("PING")
			return err
		},
	}
}

// gorilla sessions
func gorilla(one, two *redis.Pool) {
	stores := [2]*redistore.RediStore{}
	for at, pool := range []*redis.Pool{one, two} {
		store, err := redistore.NewRediStoreWithPool(pool, []byte("keyboard cat of thirty-two bytes"))
		must(err)
		store.SetMaxAge(3600)
		stores[at] = store
	}
	cookie := ""
	visit := func(at int, what func(values map[interface{}]interface{}) int) {
		request := httptest.NewRequest("GET", "/", nil)
		if cookie != "" {
			request.Header.Set("Cookie", cookie)
		}
		session, err := stores[at].Get(request, "session")
		must(err)
		session.Options.MaxAge = what(session.Values)
		answer := httptest.NewRecorder()
		must(session.Save(request, answer))
		if set := (&http.Response{Header: answer.Header()}).Cookies(); len(set) > 0 {
			cookie = set[0].Name + "=" + set[0].Value
		}
	}
	visit(0, func(values map[interface{}]interface{}) int { values["count"] = 1; return 3600 })
	visit(1, func(values map[interface{}]interface{}) int { same(values["count"], 1); values["count"] = 2; return 3600 })
	visit(0, func(values map[interface{}]interface{}) int { same(values["count"], 2); return 3600 })
	kept := cookie
	visit(1, func(values map[interface{}]interface{}) int { return -1 })
	cookie = kept
	visit(0, func(values map[interface{}]interface{}) int { same(len(values), 0); return -1 })
}

// scs's redisstore
func scs(one, two redis.Conn) {
	key, value := "scs:session:token", []byte("\x00gob\xff")
	deadline := time.Now().Add(time.Hour).UnixNano() / int64(time.Millisecond)
	must(one.Send("MULTI"))
	must(one.Send("SET", key, value))
	must(one.Send("PEXPIREAT", key, deadline))
	replies, err := redis.Values(one.Do("EXEC"))
	must(err)
	same(replies, []interface{}{"OK", int64(1)})
	held, err := redis.Bytes(two.Do("GET", key))
	must(err)
	same(bytes.Equal(held, value), true)
	left, err := redis.Int64(two.Do("PTTL", key))
	must(err)
	same(left > 3500000 && left <= 3600000, true)
	keys, err := redis.Strings(one.Do("KEYS", "scs:session:*"))
	must(err)
	same(keys, []string{key})
	_, err = two.Do("DEL", key)
	must(err)
	_, err = redis.Bytes(one.Do("GET", key))
	same(err, redis.ErrNil)
}

func main() {
	args := append(os.Args[1:], "-", "", "")
	host, port, second, user, password := args[0], args[1], args[2], args[3], args[4]
	if second == "-" || second == "" {
		second = port
	}
	if user == "-" {
		user, password = "", ""
	}
	one, two := pool(host+":"+port, user, password), pool(host+":"+second, user, password)
	gorilla(one, two)
	here, there := one.Get(), two.Get()
	scs(here, there)
	must(here.Close())
	must(there.Close())
	fmt.Println("ok")
}
