// The library centrifuge, set up as its own README does, with its Redis broker: every client may have every channel.
//
//	centrifuge REDIS_URL PORT          serve on 127.0.0.1
//	centrifuge REDIS_URL CHANNEL DATA  publish once
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

func main() {
	node := startedNode(os.Args[1])
	if len(os.Args) > 3 {
		_, err := node.Publish(os.Args[2], []byte(os.Args[3]))
		check(err)
		return
	}
	pings := centrifuge.PingPongConfig{PingInterval: time.Hour, PongTimeout: 8 * time.Second}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{PingPongConfig: pings})
	http.Handle("/connection/websocket", anonymous(handler))
	check(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
}

func startedNode(redis string) *centrifuge.Node {
	node, err := centrifuge.New(centrifuge.Config{})
	check(err)
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: redis})
	check(err)
	shards := []*centrifuge.RedisShard{shard}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: shards})
	check(err)
	node.SetBroker(broker)
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	check(node.Run())
	return node
}

// Without credentials the library refuses a client; an empty user is its anonymous one.
func anonymous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		credentials := &centrifuge.Credentials{UserID: ""}
		next.ServeHTTP(answer, request.WithContext(centrifuge.SetCredentials(request.Context(), credentials)))
	})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
