# The controllers that the cluster runs beside Headrace, with no more than it needs of them.
locals {
  controllers = {
    load-balancers = { # TargetGroupBindings alone: the load balancers themselves are Terraform's
      account = "kube-system:aws-load-balancer-controller"
      statements = [
        {
          actions = [
            "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
            "elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
          ]
          resources = ["*"] # AWS knows no resources for them
        },
        {
          actions   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
          resources = values(var.target_group_arns)
        },
      ]
    }
    secrets = {
      account = "external-secrets:external-secrets"
      statements = [
        { actions = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], resources = [var.secret_arn] },
        { actions = ["kms:Decrypt"], resources = [var.kms_key_arn] },
      ]
    }
    nodes = {
      account = "kube-system:cluster-autoscaler"
      statements = [
        {
          actions = [
            "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
            "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements",
          ]
          resources = ["*"] # AWS knows no resources for them
        },
        {
          actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          resources = ["arn:aws:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*:autoScalingGroupName/eks-*"]
          cluster   = var.cluster_name
        },
        {
          actions   = ["eks:DescribeNodegroup"]
          resources = ["arn:aws:eks:${var.region}:${var.account_id}:nodegroup/${var.cluster_name}/*"]
        },
      ]
    }
  }
}

data "aws_iam_policy_document" "controller" {
  for_each = local.controllers

  dynamic "statement" {
    for_each = each.value.statements

    content {
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = try([statement.value.cluster], [])

        content {
          test     = "StringEquals"
          variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${condition.value}"
          values   = ["owned"]
        }
      }
    }
  }
}
