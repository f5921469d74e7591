output "namespace" {
  description = "Where chefcito deploy --env staging puts everything"
  value       = "chefcito-staging"
}

output "postgres_address" {
  description = "Host and port of PostgreSQL"
  value       = module.postgres.address
}

output "redis_address" {
  description = "Host and port of Redis"
  value       = module.redis.address
}

output "secrets_prefix" {
  description = "What the names of all secrets begin with in the Parameter Store"
  value       = "/chefcito/staging/"
}
