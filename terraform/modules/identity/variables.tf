variable "name" {
  type        = string
  description = "What the names of roles begin with."
}

variable "region" {
  type        = string
  description = "AWS region."
}

variable "account_id" {
  type        = string
  description = "AWS account."
}

variable "policies" {
  type        = string
  description = "Folder with the policy of each process."
}

variable "namespace" {
  type        = string
  description = "Of the processes' service accounts."
}

variable "cluster_name" {
  type        = string
  description = "Whose nodes may be scaled."
}

variable "oidc_provider_arn" {
  type        = string
  description = "Whose tokens roles accept."
}

variable "oidc_issuer" {
  type        = string
  description = "Its name, without https://."
}

variable "buckets" {
  type        = map(string)
  description = "Bucket names: raw, processed."
}

variable "table" {
  type        = string
  description = "Name of the catalog's table."
}

variable "secret_arn" {
  type        = string
  description = "What the service's secrets are in."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts all of them."
}

variable "target_group_arns" {
  type        = map(string)
  description = "Where pods are registered."
}
