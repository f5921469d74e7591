output "postgres_password" {
  description = "Password of PostgreSQL's user postgres"
  value       = local.postgres_password
  sensitive   = true
  ephemeral   = true
}

output "names" {
  description = "The names of all secrets"
  value       = local.names
}
