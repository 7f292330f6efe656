// A certificate for localhost that nobody vouches for, and its key, for tests of TLS. Used by socket_fetch.test.ts. Surprise:
// it is valid for a hundred years and worth nothing.
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUJ/aslnhC4Iw3yjwax2YA5n6GKsUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA1MDEzMFoYDzIxMjYxMDI5
MDUwMTMwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS9jlMYbXFO1reG2eF6j81vRTuVymFwpYywKh6nuYt4B9xczMuwidcp
vl9pTYXv910Tp7xEqyNcJw9SF7pgYvYno2kwZzAdBgNVHQ4EFgQUFTOipSc5ozKm
v/4zJ4xGadoK5H8wHwYDVR0jBBgwFoAUFTOipSc5ozKmv/4zJ4xGadoK5H8wDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgHLWYsfVYgPoO0hn48ylgLxKEK1AwVDARcZhxR6qwXZkCIQDvW/ZNL1wH
M8GuhL6NQnrHIXj7FwerZQ71GYwLcDo3ow==
-----END CERTIFICATE-----`;
export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3WjIwYKq8EuS7dhh
eLCbWlyU0YG1JDSIDbWxyt822qqhRANCAAS9jlMYbXFO1reG2eF6j81vRTuVymFw
pYywKh6nuYt4B9xczMuwidcpvl9pTYXv910Tp7xEqyNcJw9SF7pgYvYn
-----END PRIVATE KEY-----`;
