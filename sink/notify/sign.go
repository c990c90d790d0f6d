package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// secretPrefix is what a secret of Standard Webhooks begins with.
const secretPrefix = "whsec_"

// parseSecret returns the key in a secret.
func parseSecret(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 { // the text of the error must not show the secret
		return nil, errors.New(`a secret is "whsec_" and 24 to 64 random bytes in base64; "openssl rand -base64 32" makes them`)
	}
	return key, nil
}

// signature is the value of webhook-signature: one signature of each key over id, time in Unix seconds, and body, with a space between them.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
func signature(keys [][]byte, id, seconds string, body []byte) string {
	var signatures []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + seconds + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}
