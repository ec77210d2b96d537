//! Keys and tokens that OpenSSL made: each token says `{"sub":"anna","exp":4102444800}`, the year 2100.

pub(super) const RSA: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsjBCoOC3bHSYfujGpbAB\n\
Nl4Zqqv8HUavnJM14j2yenZDP3nuGly8IM9m3bdABdGxoHBiGQgUHu/I6K313z0U\n\
R8vPOglLjF3APMgfaGGn3s0tzgAkcnoukf6fuTOuXC286NfElY2PnD0qLYGuWZJp\n\
rYwwPBD/USVl0EYzWzvha/4GXpBuHKIKJTSjJxBSjIhk/svMqxcFzzntq4507Wbi\n\
wqoWU9WZ8xm5dbAZWlqbTDbxNLOfiMh780h3PxUQpXZpf9BVCrFotM8hMk2R9bXJ\n\
4RPkOrcZL9FFzy4kiBtHpn8hf52j5Trzl2OgapU8ugK4rMdR7iv5ZKugWExOkxXc\n\
twIDAQAB\n\
-----END PUBLIC KEY-----\n";

pub(super) const RSA_TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwfQ.cDtolIY1b7Tgu1ht\
    H8BZvu9vkX6XPinDF5JrmMj_5EGg05nFqRNEFIOwMiqZOdV_5TZetJsptNHWUCfW78Od_c_e2AeBc9fOq3WDTV-aRjUanDVp\
    Mr9Cni13RyUuX9KlSQQSg8-rWsXZxY72eGQ4cMP61rA7fbsWDysQ3y6_FXlfjk8QMa8O3YjnJUmTlBlICko3DPf6PGd8zLm0\
    XcoUSbTGJc33QKH1pQ97GrcdOfBnGNh5nPylvRyx5JMhV3LLDjqenILV_Dn7At0CjfsZXQXFywXvRQzLvONqJoDG0Po2CzQG\
    9j-W5EBufKWjtqm_aHvodB6SXY2CCt2guGU9Sg";

pub(super) const P256: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjQBQdTd5d8rxLviRqeCMY9Y808ak\n\
NZ/I+ZNLsW/PeBC2hbdQRb3RuSQN1cbt8u9CCbg9nSvJV9S6V+YlqiQZkg==\n\
-----END PUBLIC KEY-----\n";

pub(super) const P256_TOKEN: &str = "\
    eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwfQ.gnd_IQrJtswLjDl_\
    I1y2jxeu7IG1TSwm86GAhVC-SzYWBnMkHhi1q7Guv5xxscZ7QdDX9-mFCZo3fuLAXMi83g";

pub(super) const ED25519: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAcx7QxKi5/D12+Ny0iIlTv7ya64DWTXFqyw/6+W8OSJg=\n\
-----END PUBLIC KEY-----\n";

pub(super) const ED25519_TOKEN: &str = "\
    eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AjaWCTjpXlbNdC7-\
    4sX7u2fUN6Fs7wjBdYXpmH9FCe1tu9qguyCXo7b1bjfiw1khvgSIC49u9eG63e-MpIstDQ";

pub(super) const P384: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEHdRv3BgabwusQ+A2DVyZVLtR0R5VCIwb\n\
EqRkP+j5xqB++T1HFPgTLZzneK6eruHhinA4S8i+mOjhqCLG6vbbuXD1iZwyTEC0\n\
ZvWDInmRqTxfov4XWzsZaUEkt4OFnTo9\n\
-----END PUBLIC KEY-----\n";

pub(super) const RSA_SHORT: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDjFOtX3SAxqQU65UmU77PV4mNm\n\
AJORg2cKPtT4c45mRnNeDdK8VEzwJ+B6u2Lk+/2NE6OFabF8lijBwU4qKX/YWUEI\n\
zDxDFdxkb0MvNN6AEoy2Grae8QLhwqmuKw79WrGtj/HWqG3vAXMAHb8siIhnc0vR\n\
yyPJbuSllBDH4tsyGQIDAQAB\n\
-----END PUBLIC KEY-----\n";
